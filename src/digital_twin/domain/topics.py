"""Topics of a message broker: which ones a community reads, and what their payloads say about which series."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.identifiers import check_identifier
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import PLANNED_SERIES, SeriesKey, SeriesValues
from digital_twin.domain.time import RESOLUTIONS_MINUTES, TimeGrid
from digital_twin.domain.units import SeriesKind, canonical_unit, to_canonical

MAX_TOPIC_LENGTH = 256
MAX_PATH_LENGTH = 200
MAX_VALUES = 50
"""Values that one payload may hold."""

OWN_TOPICS = "communities"
"""Topics below `communities/{community_id}/` belong to that community."""

_PLACEHOLDERS = ("{member_id}", "{asset_id}")
_LEVEL = re.compile(r"[^\x00-\x1f\x7f#+{}]+\Z")


@dataclass(frozen=True, slots=True)
class TopicTemplate:
    """`homes/{member_id}/meter`: a level is fixed, names whom the payload is about, or is `+`, which is any.

    Raises:
        InvalidInput: an empty or reserved level, a wildcard or brace inside of one, a placeholder twice or unknown.
    """

    text: str

    def __post_init__(self) -> None:
        if not 0 < len(self.text.encode()) <= MAX_TOPIC_LENGTH:
            raise InvalidInput(f"topic must have 1 to {MAX_TOPIC_LENGTH} bytes", field="topic")
        if self.text.startswith("$"):
            raise InvalidInput("topic must not begin with $, which is the broker's own", field="topic")
        for level in self.levels:
            if level not in ("+", *_PLACEHOLDERS) and not _LEVEL.match(level):
                raise InvalidInput(
                    "each level of a topic must be a word without #, + and braces, a whole + or one of "
                    f"{', '.join(_PLACEHOLDERS)}",
                    field="topic",
                )
        for placeholder in _PLACEHOLDERS:
            if self.levels.count(placeholder) > 1:
                raise InvalidInput(f"topic must name {placeholder} at most once", field="topic")

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(self.text.split("/"))

    @property
    def filter(self) -> str:
        """What to subscribe to."""
        return "/".join("+" if level in _PLACEHOLDERS else level for level in self.levels)

    def names(self, placeholder: str) -> bool:
        """Whether it has `member_id` or `asset_id` as a level."""
        return f"{{{placeholder}}}" in self.levels

    def named_in(self, topic: str) -> Mapping[str, str]:
        """What its placeholders are in a topic that fits."""
        pairs = zip(self.levels, topic.split("/"), strict=True)
        return {level.strip("{}"): given for level, given in pairs if level in _PLACEHOLDERS}

    def belongs_to(self, community_id: str) -> bool:
        """Whether all its topics are the community's own."""
        return len(self.levels) > 2 and self.levels[:2] == (OWN_TOPICS, community_id)


class TimeFormat(StrEnum):
    """How a payload writes an instant."""

    RFC3339 = "rfc3339"
    SECONDS = "epoch_s"
    MILLISECONDS = "epoch_ms"


class TimeMark(StrEnum):
    """Which edge of the interval of a value its time marks; a time within the interval counts as its start."""

    START = "start"
    END = "end"


class Pick(StrEnum):
    """What several samples of one interval become; the first is what an instant series wants."""

    LAST = "last"
    FIRST = "first"
    MEAN = "mean"


def settle(pick: Pick, values: Sequence[float], qualities: Sequence[int]) -> tuple[float, int]:
    """The value of an interval of its samples in the order of their times, and its quality: of a mean the worst."""
    if pick is Pick.MEAN:
        return float(np.mean(values)), max(qualities)
    place = -1 if pick is Pick.LAST else 0
    return values[place], qualities[place]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value that a message told: of which series, which of its intervals, and when in that."""

    key: SeriesKey
    resolution_minutes: int
    start: datetime  # of the interval
    at: datetime
    value: float
    quality: int
    pick: Pick

    @property
    def ends(self) -> datetime:
        """When its interval does."""
        return self.start + timedelta(minutes=self.resolution_minutes)

    @property
    def has_length(self) -> bool:
        """Whether it is measured over its interval, so that it is no reading before that is over."""
        return self.key.name not in PLANNED_SERIES and canonical_unit(self.key.name)[1] is not SeriesKind.INSTANT

    @property
    def reading(self) -> SeriesValues:
        """What it is alone."""
        return one_reading(self.key, self.start, self.resolution_minutes, self.value, self.quality)


def one_reading(key: SeriesKey, start: datetime, resolution_minutes: int, value: float, quality: int) -> SeriesValues:
    """Readings of a series that are just one value."""
    flags = None if quality == Quality.MEASURED else np.array([quality], dtype=np.uint8)
    return SeriesValues(key, TimeGrid(start, 1, resolution_minutes), np.array([value]), flags)


@dataclass(frozen=True, slots=True)
class TimeMapping:
    """Where a payload says when."""

    path: str
    format: TimeFormat = TimeFormat.RFC3339
    marks: TimeMark = TimeMark.START


@dataclass(frozen=True, slots=True)
class ValueMapping:
    """Where a payload holds the values of a series: value x `scale` in `unit`, which without one is the series' own."""

    series: str
    path: str = "$"
    unit: str | None = None
    kind: SeriesKind | None = None
    scale: float = 1.0
    quality_path: str | None = None
    samples: Pick = Pick.LAST

    def canonical(self, value: float, step_hours: float) -> float:
        """A value of the payload in the unit of the series.

        Raises:
            InvalidInput: the unit cannot be turned into that of the series.
        """
        unit, kind = canonical_unit(self.series)
        given = np.array([value * self.scale])
        return float(to_canonical(given, self.series, self.unit or unit, self.kind or kind, step_hours)[0])


@dataclass(frozen=True, slots=True)
class TopicMapping:
    """What messages of some topics say.

    The series belong to the member and the asset that the topic or the mapping itself names, else to the community.
    `items_path` leads to a list of which each item is read like a payload. Without `time` a value belongs to the
    interval in which it arrives.

    Raises:
        InvalidInput: a rule is broken, or the values do not fit the series.
    """

    mapping_id: str
    topic: TopicTemplate
    values: tuple[ValueMapping, ...]
    resolution_minutes: int = 15
    time: TimeMapping | None = None
    items_path: str | None = None
    member_id: str | None = None
    asset_id: str | None = None

    def __post_init__(self) -> None:
        check_identifier(self.mapping_id, "mapping_id")
        if self.resolution_minutes not in RESOLUTIONS_MINUTES:
            allowed = ", ".join(map(str, RESOLUTIONS_MINUTES))
            raise InvalidInput(f"resolution_minutes must be one of {allowed}", field="resolution_minutes")
        for name in ("member_id", "asset_id"):
            if getattr(self, name) is not None and self.topic.names(name):
                raise InvalidInput(f"{name} stands in the topic already; leave it out", field=name)
        if not 1 <= len(self.values) <= MAX_VALUES:
            raise InvalidInput(f"values must name 1 to {MAX_VALUES} series", field="values")
        if self.items_path is not None and self.time is None:
            raise InvalidInput("time must say when each item is; all of them arrive at once", field="time")
        if len({value.series for value in self.values}) < len(self.values):
            raise InvalidInput("values must name each series once", field="values")
        for place, value in enumerate(self.values):
            self._check(value, f"values.{place}")

    def _check(self, value: ValueMapping, field: str) -> None:
        if not (np.isfinite(value.scale) and value.scale != 0):
            raise InvalidInput("scale must be a finite number other than 0", field=f"{field}.scale")
        try:
            self.key(value, {"member_id": "any", "asset_id": "any"})
            value.canonical(1.0, self.resolution_minutes / 60)
        except InvalidInput as error:
            name = {"name": "series"}.get(error.facts.get("field", ""), error.facts.get("field"))
            raise InvalidInput(error.message, field=f"{field}.{name}") from error
        kinds = canonical_unit(value.series)[1], value.kind
        if value.samples is Pick.MEAN and SeriesKind.ENERGY in kinds:
            raise InvalidInput("samples of an energy have no mean; use last", field=f"{field}.samples")

    def key(self, value: ValueMapping, named: Mapping[str, str]) -> SeriesKey:
        """The series of a value where the topic's placeholders are these.

        Raises:
            InvalidInput: what stands in the topic is no identifier.
        """
        member_id = named["member_id"] if self.topic.names("member_id") else self.member_id
        asset_id = named["asset_id"] if self.topic.names("asset_id") else self.asset_id
        return SeriesKey(value.series, member_id, asset_id)

"""Topic mappings and dead letters as bodies."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints

from digital_twin.api.schemas.model import (
    PLAIN_DIGITS,
    Answer,
    Body,
    Cursor,
    Identifier,
    Instant,
    Page,
    ResolutionMinutes,
)
from digital_twin.domain.identifiers import SERIES_NAME_PATTERN
from digital_twin.domain.quality import WORDS, Quality, QualityWord, quality_words
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.topics import (
    MAX_PATH_LENGTH,
    MAX_TOPIC_LENGTH,
    MAX_VALUES,
    Pick,
    TimeFormat,
    TimeMapping,
    TimeMark,
    TopicMapping,
    TopicTemplate,
    ValueMapping,
)
from digital_twin.domain.units import SeriesKind, canonical_unit
from digital_twin.services.ingest import Sifted
from digital_twin.services.ports import DeadLetter

EXAMPLE: dict[str, Any] = {
    "mapping_id": "smart_meters",
    "topic": "communities/green_village/homes/{member_id}/meter",
    "resolution_minutes": 15,
    "time": {"path": "$.time", "format": "rfc3339"},
    "values": [
        {"series": "load_kw", "path": "$.power", "unit": "W"},
        {"series": "pv_kw", "path": "$.inverter.power", "unit": "W"},
    ],
}
EXAMPLE_TOPIC = "communities/green_village/homes/home_1/meter"
EXAMPLE_PAYLOAD = '{"time": "2026-03-02T11:30:00Z", "power": 412.5, "inverter": {"power": 1830}}'

Topic = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOPIC_LENGTH)]
Path = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATH_LENGTH), Field(examples=["$.power"])]


class TimeMappingBody(Body):
    path: Path
    format: Literal["rfc3339", "epoch_s", "epoch_ms"] = "rfc3339"
    marks: Literal["start", "end"] = Field(
        default="start", description="Which edge of a value's interval the time marks; within it counts as its start"
    )

    def to_domain(self) -> TimeMapping:
        return TimeMapping(self.path, TimeFormat(self.format), TimeMark(self.marks))


class ValueMappingBody(Body):
    series: Annotated[str, StringConstraints(pattern=SERIES_NAME_PATTERN)]
    path: Path = Field(default="$", description="RFC 9535, names and indices alone; $ is the payload itself")
    unit: Annotated[str, StringConstraints(max_length=16)] | None = Field(
        default=None, description="Default: that of the series"
    )
    kind: Literal["mean", "energy", "instant"] | None = Field(default=None, description="Default: that of the series")
    scale: Annotated[float, Field(ge=-1e9, le=1e9)] = Field(default=1.0, description="Multiplies the payload's value")
    quality_path: Path | None = None
    samples: Literal["last", "first", "mean"] = Field(
        default="last", description="What several values of one interval become"
    )

    def to_domain(self) -> ValueMapping:
        return ValueMapping(
            series=self.series,
            path=self.path,
            unit=self.unit,
            kind=None if self.kind is None else SeriesKind(self.kind),
            scale=self.scale,
            quality_path=self.quality_path,
            samples=Pick(self.samples),
        )


class TopicMappingBody(Body):
    """Which topics are read, and where their payloads say what.

    Levels of the topic are words, `+`, `{member_id}` or `{asset_id}`. Without `time` a value belongs to the interval in
    which it arrives. `items_path` leads to a list of which each item is read like a payload.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    mapping_id: Identifier
    topic: Topic
    values: Annotated[list[ValueMappingBody], Field(min_length=1, max_length=MAX_VALUES)]
    resolution_minutes: ResolutionMinutes = 15
    time: TimeMappingBody | None = None
    items_path: Path | None = None
    member_id: Identifier | None = None
    asset_id: Identifier | None = None

    def to_domain(self) -> TopicMapping:
        return TopicMapping(
            mapping_id=self.mapping_id,
            topic=TopicTemplate(self.topic),
            values=tuple(value.to_domain() for value in self.values),
            resolution_minutes=self.resolution_minutes,
            time=None if self.time is None else self.time.to_domain(),
            items_path=self.items_path,
            member_id=self.member_id,
            asset_id=self.asset_id,
        )

    @classmethod
    def from_domain(cls, mapping: TopicMapping) -> Self:
        time = mapping.time
        return cls(
            mapping_id=mapping.mapping_id,
            topic=mapping.topic.text,
            values=[_value_body(value) for value in mapping.values],
            resolution_minutes=mapping.resolution_minutes,
            time=None if time is None else TimeMappingBody(**_texts(time, "path", "format", "marks")),
            items_path=mapping.items_path,
            member_id=mapping.member_id,
            asset_id=mapping.asset_id,
        )


class UnreadableMappingBody(Answer):
    """A mapping that is stored, but of which no topic is read until it is replaced."""

    mapping_id: str
    reason: str


class TopicMappingList(Answer):
    topic_mappings: list[TopicMappingBody]
    unreadable: list[UnreadableMappingBody]


class TrialBody(Body):
    """A mapping, kept or not, and a message as it would be published."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"mapping": EXAMPLE, "topic": EXAMPLE_TOPIC, "payload": EXAMPLE_PAYLOAD}]}
    )

    mapping: TopicMappingBody
    topic: Topic
    payload: Annotated[str, StringConstraints(max_length=65_536)] = Field(description="The text that is published")


class TrialReading(Answer):
    """A reading that the message would give."""

    series: str
    unit: str
    member_id: str | None
    asset_id: str | None
    start: Instant
    resolution_minutes: int
    value: float
    quality: QualityWord
    waits: bool = Field(description="Whether it is a sample, which becomes a reading when its interval is over")


class TrialAnswer(Answer):
    """What a message would give, and why some of it would become a dead letter."""

    readings: list[TrialReading]
    refused: list[str]

    @classmethod
    def from_sifted(cls, sifted: Sifted) -> Self:
        readings = [_trial_reading(one, waits=False) for one in sifted.readings]
        readings += [_trial_reading(one.reading, waits=True) for one in sifted.samples]
        return cls(readings=readings, refused=[reason for some in sifted.reasons.values() for reason in some])


class DeadLetterBody(Answer):
    """A message of which something could not be stored, and why."""

    id: int
    received_at: Instant
    topic: str
    payload: str = Field(description="Its beginning as text; what is no UTF-8 is replaced")
    payload_bytes: int
    reason: str

    @classmethod
    def from_letter(cls, letter: DeadLetter) -> Self:
        return cls(
            id=letter.letter_id,
            received_at=letter.received_at,
            topic=letter.topic,
            payload=letter.payload.decode(errors="replace"),
            payload_bytes=letter.payload_bytes,
            reason=letter.reason,
        )


class DeadLetterPage(Page):
    dead_letters: list[DeadLetterBody]


class DeadLetterQuery(Body):
    """Which page of the dead letters, newest first."""

    model_config = ConfigDict(strict=False, extra="forbid")

    limit: Annotated[int, PLAIN_DIGITS, Field(ge=1, le=1000)] = 100
    cursor: Cursor | None = None


class RemovalQuery(Body):
    """Which dead letters to delete: all, or those received until then."""

    model_config = ConfigDict(strict=False, extra="forbid")

    received_until: Instant | None = None


class RemovalAnswer(Answer):
    deleted: int


def _value_body(value: ValueMapping) -> ValueMappingBody:
    names = ("series", "path", "unit", "kind", "scale", "quality_path", "samples")
    return ValueMappingBody(**_texts(value, *names))


def _texts(value: Any, *names: str) -> dict[str, Any]:
    """Fields by name, enumerations as their words."""
    found = {name: getattr(value, name) for name in names}
    return {
        name: one.value if isinstance(one, SeriesKind | TimeFormat | TimeMark | Pick) else one
        for name, one in found.items()
    }


def _trial_reading(found: SeriesValues, *, waits: bool) -> TrialReading:
    words = quality_words(found.values, found.flags)
    key, grid = found.key, found.grid
    return TrialReading(
        series=key.name,
        unit=canonical_unit(key.name)[0],
        member_id=key.member_id,
        asset_id=key.asset_id,
        start=grid.start,
        resolution_minutes=grid.step_minutes,
        value=float(found.values[0]),
        quality=WORDS[Quality.MEASURED] if words is None else words[0],
        waits=waits,
    )

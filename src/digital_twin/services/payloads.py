"""What a payload says: readings where the mapping finds them, else the reason why not; never an exception."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonpath
import orjson
from jsonpath.selectors import NameSelector

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.quality import WORDS, Quality
from digital_twin.domain.readings import SeriesKey
from digital_twin.domain.time import as_utc, floor_to_step
from digital_twin.domain.topics import (
    MAX_PATH_LENGTH,
    Sample,
    TimeFormat,
    TimeMapping,
    TimeMark,
    TopicMapping,
    ValueMapping,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)
_PATHS = jsonpath.JSONPathEnvironment(strict=True)

Find = Callable[[Any], Any]
"""What stands at a path of a document; raises InvalidInput where nothing does."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a payload holds, and why some of it cannot be read."""

    samples: list[Sample] = field(default_factory=list[Sample])
    reasons: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class _Column:
    """A value mapping with its paths compiled."""

    mapping: ValueMapping
    find: Find
    find_quality: Find | None


class PayloadReader:
    """Reads payloads by one mapping.

    Raises:
        InvalidInput: a path of the mapping is none, or may lead to several places.
    """

    def __init__(self, mapping: TopicMapping) -> None:
        self.mapping = mapping
        self._find_items = None if mapping.items_path is None else _compiled(mapping.items_path, "items_path")
        self._find_time = None if mapping.time is None else _compiled(mapping.time.path, "time.path")
        self._columns = [
            _Column(
                value,
                _compiled(value.path, f"values.{place}.path"),
                None if value.quality_path is None else _compiled(value.quality_path, f"values.{place}.quality_path"),
            )
            for place, value in enumerate(mapping.values)
        ]

    def read(self, topic: str, payload: bytes, received_at: datetime) -> Findings:
        """What a payload under a topic that fits says."""
        findings = Findings()
        try:
            document = orjson.loads(payload)
        except orjson.JSONDecodeError:
            findings.reasons.append("the payload is not JSON")
            return findings
        try:
            named = self.mapping.topic.named_in(topic)
            keys = [self.mapping.key(column.mapping, named) for column in self._columns]
            items = self._items(document)
        except InvalidInput as error:
            findings.reasons.append(error.message)
            return findings
        for place, item in enumerate(items):
            prefix = "" if self._find_items is None else f"item {place}: "
            self._read_item(item, keys, received_at, findings, prefix)
        return findings

    def _items(self, document: Any) -> list[Any]:
        if self._find_items is None:
            return [document]
        items = self._find_items(document)
        if not isinstance(items, list):
            raise InvalidInput(f"there is no list at {self.mapping.items_path}")
        return items

    def _read_item(
        self, item: Any, keys: list[SeriesKey], received_at: datetime, findings: Findings, prefix: str
    ) -> None:
        try:
            at = self._time_of(item, received_at)
        except InvalidInput as error:
            findings.reasons.append(prefix + error.message)
            return
        for column, key in zip(self._columns, keys, strict=True):
            try:
                sample = self._sample_of(item, column, key, at)
            except InvalidInput as error:
                findings.reasons.append(f"{prefix}{key.name}: {error.message}")
                continue
            if sample is not None:
                findings.samples.append(sample)

    def _time_of(self, item: Any, received_at: datetime) -> datetime:
        """The instant that decides about the interval: the last one before an edge that is its end."""
        if self.mapping.time is None or self._find_time is None:
            return received_at
        at = _instant(self._find_time(item), self.mapping.time)
        return at - _MOMENT if self.mapping.time.marks is TimeMark.END and at > _EPOCH else at

    def _sample_of(self, item: Any, column: _Column, key: SeriesKey, at: datetime) -> Sample | None:
        """None where the payload says that there is no value."""
        given = column.find(item)
        quality = _quality(column.find_quality(item)) if column.find_quality else Quality.MEASURED
        if given is None or quality == Quality.MISSING:
            return None
        step_minutes = self.mapping.resolution_minutes
        value = column.mapping.canonical(_number(given, column.mapping.path), step_minutes / 60)
        if not math.isfinite(value):
            raise InvalidInput(f"the number at {column.mapping.path} is too large")
        start = floor_to_step(at, step_minutes)
        return Sample(key, step_minutes, start, at, value, quality=quality, pick=column.mapping.samples)


def _compiled(path: str, field_name: str) -> Find:
    """A singular query (RFC 9535, 2.3.5.1): names and indices alone, so that no payload can make it run for long."""
    rule = f"{field_name} must be a JSON path of names and indices such as $.power or $['a b'][0]"
    if len(path) > MAX_PATH_LENGTH:
        raise InvalidInput(f"{rule}, at most {MAX_PATH_LENGTH} characters", field=field_name)
    try:
        query = _PATHS.compile(path)
    except jsonpath.JSONPathError as error:
        raise InvalidInput(rule, field=field_name) from error
    if not isinstance(query, jsonpath.JSONPath) or not query.singular_query():
        raise InvalidInput(rule, field=field_name)
    steps = [_step_of(segment.selectors[0]) for segment in query.segments]

    def find(document: Any) -> Any:
        place = document
        for key, kind in steps:  # the library's own walk, which allows for much more, takes ten times as long
            try:
                if not isinstance(place, kind):
                    raise LookupError
                place = place[key]
            except LookupError as error:
                raise InvalidInput(f"there is nothing at {path}") from error
        return place

    return find


def _step_of(selector: Any) -> tuple[str | int, type[Any]]:
    """What a selector of a singular query takes, and of what."""
    return (selector.name, dict) if isinstance(selector, NameSelector) else (selector.index, list)


def _number(given: Any, path: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidInput(f"there is no number at {path}")
    return float(given)


def _instant(given: Any, mapping: TimeMapping) -> datetime:
    try:
        if mapping.format is TimeFormat.RFC3339:
            if not isinstance(given, str):
                raise InvalidInput(f"there is no RFC 3339 time at {mapping.path}")
            return as_utc(datetime.fromisoformat(given))
        number = _number(given, mapping.path)
        seconds = number if mapping.format is TimeFormat.SECONDS else number / 1000
        return as_utc(_EPOCH + timedelta(seconds=seconds))
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"there is no {mapping.format} time at {mapping.path}") from error


def _quality(given: Any) -> int:
    if given is None:
        return Quality.MEASURED
    if given not in WORDS:
        raise InvalidInput(f"quality must be one of {', '.join(WORDS)}")
    return WORDS.index(given)

"""Readings as JSON: columns of series, and rows one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import (
    MAX_STEPS_IN_BODY,
    PLAIN_DIGITS,
    Answer,
    AnyInstant,
    Body,
    Identifier,
    Instant,
    ResolutionMinutes,
)
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.identifiers import SERIES_NAME_PATTERN
from digital_twin.domain.quality import WORDS, Flags, Quality, QualityWord, quality_words, told_flags
from digital_twin.domain.reading_rows import ReadingRows as Rows
from digital_twin.domain.reading_rows import gather, why_misplaced
from digital_twin.domain.readings import Rejection, Series, SeriesSummary, SeriesValues, series_key
from digital_twin.domain.time import time_grid
from digital_twin.domain.units import Array, SeriesKind, canonical_unit
from digital_twin.services.reading_parts import ReadingPart, Refusal, in_columns, pointer
from digital_twin.services.readings import IngestReport, SeriesAnswer

MAX_COLUMNS = 10_000
MAX_ROWS = 100_000

SeriesName = Annotated[str, Field(pattern=SERIES_NAME_PATTERN, examples=["load_kw"])]
Value = Annotated[float, Field(ge=-1e12, le=1e12)]

COLUMNS_EXAMPLE: dict[str, Any] = {
    "series": [
        {
            "name": "load_kw",
            "unit": "kW",
            "kind": "mean",
            "start": "2026-03-01T00:00:00Z",
            "resolution_minutes": 15,
            "values": [41.5, 40.2, None, 39.9],
        }
    ]
}


class SeriesColumn(Body):
    """Consecutive readings of one series; null where there is none."""

    name: SeriesName
    unit: Annotated[str, Field(max_length=20, examples=["kW"])]
    kind: Literal["mean", "energy", "instant"] = "mean"
    member_id: Identifier | None = None
    asset_id: Identifier | None = None
    start: AnyInstant
    resolution_minutes: ResolutionMinutes
    values: Annotated[list[Value | None], Field(min_length=1, max_length=MAX_STEPS_IN_BODY)]
    quality: Annotated[list[QualityWord | None], Field(max_length=MAX_STEPS_IN_BODY)] | None = Field(
        default=None, description="Of each value; null, or none at all, is measured", examples=[None]
    )

    def to_domain(self) -> SeriesValues:
        """Raises InvalidInput for a start off the grid, a unit that does not fit the name, or quality of no value."""
        key = series_key(self.name, self.member_id, self.asset_id)
        grid = time_grid(self.start, len(self.values), self.resolution_minutes)
        values = np.array(self.values, dtype=np.float64)
        readings = SeriesValues.from_unit(key, grid, values, self.unit, SeriesKind(self.kind))
        return readings if self.quality is None else replace(readings, flags=self._flags(values))

    def misplaced(self, index: int) -> Iterator[Refusal]:
        """All readings of this column of the body, whose start is that of no interval."""
        key, step = series_key(self.name, self.member_id, self.asset_id), timedelta(minutes=self.resolution_minutes)
        reason = why_misplaced(self.start, self.resolution_minutes)
        for place, value in enumerate(self.values):
            if value is not None:
                start = self.start + place * step
                yield Refusal(Rejection(key, start, reason), pointer(in_columns(index, place)))

    def _flags(self, values: Array) -> Flags | None:
        words = self.quality or []
        if len(words) != values.size:
            raise InvalidInput("quality must have as many entries as values", field="quality")
        try:
            return told_flags(values, flags_of(words))
        except InvalidInput as error:
            raise InvalidInput(error.message, field=f"quality.{error.facts['row']}") from error


class ReadingColumns(Body):
    """Readings by series: the form for everything that comes in bulk."""

    model_config = ConfigDict(json_schema_extra={"examples": [COLUMNS_EXAMPLE]})

    series: Annotated[list[SeriesColumn], Field(min_length=1, max_length=MAX_COLUMNS)]
    assumed_delay_minutes: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="For imported history: how long after its interval's end a first reading counts as known",
    )

    def to_domain(self) -> ReadingPart:
        """Raises InvalidInput naming the column."""
        columns: dict[int, SeriesValues] = {}
        misplaced: list[Refusal] = []
        for index, column in enumerate(self.series):
            try:
                columns[index] = column.to_domain()
            except InvalidInput as error:
                if error.facts.get("field") == "start":
                    misplaced += column.misplaced(index)
                    continue
                field = f"series.{index}.{error.facts.get('field', 'values')}"
                raise InvalidInput(error.message, field=field) from error
        places = list(columns)
        return ReadingPart(list(columns.values()), lambda index, offset: in_columns(places[index], offset), misplaced)


class ReadingRow(Body):
    """One reading in the unit that its series' name ends in."""

    series: SeriesName
    start: AnyInstant
    value: Value
    member_id: Identifier | None = None
    asset_id: Identifier | None = None
    quality: QualityWord | None = None

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        """What the row is about."""
        return self.series, self.member_id, self.asset_id


class ReadingRows(Body):
    """Readings one by one: the form for a few devices that report now and then."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "resolution_minutes": 15,
                    "readings": [{"series": "load_kw", "start": "2026-03-01T00:00:00Z", "value": 41.5}],
                }
            ]
        }
    )

    resolution_minutes: ResolutionMinutes = 15
    readings: Annotated[list[ReadingRow], Field(min_length=1, max_length=MAX_ROWS)]

    def to_domain(self) -> ReadingPart:
        """The rows by series. Raises InvalidInput naming the row."""
        numbers: dict[tuple[str, str | None, str | None], int] = {}
        series: list[Series] = []
        for index, row in enumerate(self.readings):
            if numbers.setdefault(row.key, len(series)) == len(series):
                try:
                    series.append(Series(series_key(*row.key), self.resolution_minutes))
                except InvalidInput as error:
                    field = f"readings.{index}.{error.facts.get('field', '')}"
                    raise InvalidInput(error.message, field=field) from error
        try:
            values = np.array([row.value for row in self.readings], dtype=np.float64)
            flags = told_flags(values, flags_of([row.quality for row in self.readings]))
            owner = np.array([numbers[row.key] for row in self.readings], dtype=np.int64)
            start_s = np.array([_second(row.start, index) for index, row in enumerate(self.readings)], dtype=np.int64)
            gathered = gather(series, Rows(owner, start_s, values, flags))
        except InvalidInput as error:
            field = f"readings.{error.facts['row']}" if "row" in error.facts else error.facts.get("field", "readings")
            raise InvalidInput(error.message, field=field) from error
        misplaced = [Refusal(rejection, pointer(f"readings.{row}")) for row, rejection in gathered.misplaced]
        return ReadingPart(
            gathered.readings, lambda index, offset: f"readings.{gathered.row(index, offset)}", misplaced
        )


def _second(start: datetime, row: int) -> int:
    if start.microsecond:
        raise InvalidInput("start must be a whole second", row=row)
    return int(start.timestamp())


def flags_of(words: Sequence[QualityWord | None]) -> Flags:
    """The flag of each word; without one a value is measured."""
    return np.array([_FLAGS[word] for word in words], dtype=np.uint8)


_FLAGS: dict[QualityWord | None, int] = {None: Quality.MEASURED, **{word: flag for flag, word in enumerate(WORDS)}}


class RejectedReading(Answer):
    """A reading that was not stored."""

    series: str
    member_id: str | None = None
    asset_id: str | None = None
    start: AnyInstant
    position: str | None = Field(
        default=None,
        description="Where it stood in the body: /series/0/values/3, /readings/3, /line 5 of CSV, whose header is "
        "line 1, /row 3 of Arrow, whose first is row 0",
    )
    reason: str

    @classmethod
    def from_refusal(cls, refusal: Refusal) -> "RejectedReading":
        return cls.model_validate(refusal.as_document())


class IngestAnswer(Answer):
    """What became of every reading: received = stored + duplicate + corrected + superseded; rejected come on top."""

    received: int
    stored: int
    duplicate: int
    corrected: int
    superseded: int
    rejected: list[RejectedReading]
    rejected_count: int
    received_at: Instant
    replayed: bool = Field(description="Whether this Idempotency-Key was seen before: nothing was stored again")

    @classmethod
    def from_report(cls, report: IngestReport) -> "IngestAnswer":
        receipt = report.receipt
        return cls(
            received=receipt.received,
            stored=receipt.stored,
            duplicate=receipt.duplicate,
            corrected=receipt.corrected,
            superseded=receipt.superseded,
            rejected=[RejectedReading.from_refusal(one) for one in report.rejected],
            rejected_count=report.rejected_count,
            received_at=receipt.received_at,
            replayed=receipt.replayed,
        )

    @classmethod
    def from_import(cls, document: dict[str, Any]) -> "IngestAnswer":
        return cls.model_validate({**document, "replayed": False})


class SeriesAnswerBody(Answer):
    """What is stored of a series."""

    name: str
    member_id: str | None
    asset_id: str | None
    unit: str
    kind: Literal["mean", "energy", "instant"]
    resolution_minutes: int
    first_day: Instant
    last_day: Instant

    @classmethod
    def from_summary(cls, summary: SeriesSummary) -> "SeriesAnswerBody":
        key = summary.series.key
        return cls(
            name=key.name,
            member_id=key.member_id,
            asset_id=key.asset_id,
            unit=summary.series.unit,
            kind=summary.series.kind.value,
            resolution_minutes=summary.series.resolution_minutes,
            first_day=summary.first_day,
            last_day=summary.last_day,
        )


class SeriesList(Answer):
    series: list[SeriesAnswerBody]


class ReadColumn(Answer):
    """Readings of one series; null where there is none."""

    name: str
    member_id: str | None
    asset_id: str | None
    unit: str
    kind: Literal["mean", "energy", "instant"]
    start: Instant
    resolution_minutes: int
    values: list[float | None]
    quality: list[QualityWord] | None = Field(
        default=None, description="Of each value; absent where all are plainly measured"
    )
    reporting: list[int] | None = Field(default=None, description="For a sum over members: how many took part")
    members: list[int] | None = Field(default=None, description="For a sum over members: how many there were")

    @classmethod
    def from_answer(cls, answer: SeriesAnswer) -> "ReadColumn":
        readings, total = answer.readings, answer.total
        unit, kind = canonical_unit(readings.key.name)
        return cls(
            name=readings.key.name,
            member_id=readings.key.member_id,
            asset_id=readings.key.asset_id,
            unit=unit,
            kind=kind.value,
            start=readings.grid.start,
            resolution_minutes=readings.grid.step_minutes,
            values=nullable(readings.values),
            quality=quality_words(readings.values, readings.flags),
            reporting=None if total is None else total.reporting.tolist(),
            members=None if total is None else total.members.tolist(),
        )


class ReadingsAnswer(Answer):
    series: list[ReadColumn]


class RecordQuery(Body):
    """How the readings of a body are to be taken."""

    model_config = ConfigDict(strict=False, extra="forbid")

    assumed_delay_minutes: Annotated[int, PLAIN_DIGITS, Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="For imported history: how long after its interval's end a first reading counts as known. JSON "
        "columns may say it themselves",
    )


class ReadQuery(Body):
    """Which readings to give."""

    model_config = ConfigDict(strict=False, extra="forbid")

    series: Annotated[str, Field(max_length=1000, description="Names, separated by commas", examples=["load_kw,pv_kw"])]
    start: Instant
    end: Instant
    member_id: Identifier | None = None
    asset_id: Identifier | None = None
    resolution: Annotated[ResolutionMinutes, PLAIN_DIGITS] | None = None
    as_of: Instant | None = None


def nullable(values: "np.ndarray[Any, np.dtype[np.float64]]") -> list[float | None]:
    """Missing is null in JSON."""
    return [None if value != value else value for value in values.tolist()]

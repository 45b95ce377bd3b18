"""How far readings can be trusted, as it is asked for and answered."""

from collections.abc import Sequence
from datetime import date, datetime
from heapq import nlargest
from typing import Annotated, Self

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import PLAIN_DIGITS, Answer, Body, Cursor, Identifier, Instant, Page
from digital_twin.domain.meter_quality import MeterQuality
from digital_twin.domain.quality import QualityWord
from digital_twin.domain.series_quality import Stretch
from digital_twin.domain.suspicion import Reason
from digital_twin.services.quality import JudgedSeries

MOST_STRETCHES = 100
"""So many gaps, and so many suspect stretches, are named of a series: the longest."""


class QualityQueryBody(Body):
    """Whose readings to judge, and of when."""

    model_config = ConfigDict(strict=False, extra="forbid")

    series: Annotated[
        str | None,
        Field(
            max_length=1000, description="Names, separated by commas; all that add up unless told", examples=["load_kw"]
        ),
    ] = None
    start: Instant
    end: Instant
    member_id: Identifier | None = None
    asset_id: Identifier | None = None
    as_of: Instant | None = None
    limit: Annotated[int, PLAIN_DIGITS, Field(ge=1, le=1000, description="Meters of a page")] = 100
    cursor: Cursor | None = None


class StretchAnswer(Answer):
    """Intervals from start, before end."""

    start: Instant
    end: Instant
    intervals: int

    @classmethod
    def from_domain(cls, stretch: Stretch) -> "StretchAnswer":
        return cls(start=stretch.start, end=stretch.end, intervals=stretch.intervals)


class SuspectAnswer(StretchAnswer):
    """Readings that are hard to believe, and why."""

    reason: Reason

    @classmethod
    def of(cls, stretch: Stretch) -> Self:
        return cls.model_validate({**StretchAnswer.from_domain(stretch).model_dump(), "reason": stretch.reason})


class DayAnswer(Answer):
    """A day of the community's calendar; one of 23 or 25 hours expects so many readings less or more."""

    day: date
    expected: int
    present: int
    suspect: int


class SeriesQualityAnswer(Answer):
    """The quality of one series."""

    name: str
    member_id: str | None
    asset_id: str | None
    start: Instant
    end: Instant
    resolution_minutes: int
    expected: int = Field(description="Intervals that are over, while the member was one")
    completeness: float | None = Field(description="Share of the expected intervals that are there")
    counts: dict[QualityWord, int] = Field(description="Intervals by what their source said of them")
    gap_count: int
    longest_gap: StretchAnswer | None
    gaps: list[StretchAnswer] = Field(description=f"The {MOST_STRETCHES} longest, in order of time")
    suspect_count: int = Field(description="Readings in suspect stretches")
    suspects: list[SuspectAnswer] = Field(description=f"The {MOST_STRETCHES} longest, in order of time")
    days: list[DayAnswer]
    last_reading_end: Instant | None = Field(description="End of the newest interval with a reading")
    data_age_s: float | None = Field(description="How long that is ago")

    @classmethod
    def from_judged(cls, judged: JudgedSeries, now: datetime) -> "SeriesQualityAnswer":
        key, grid, quality = judged.series.key, judged.grid, judged.quality
        longest = quality.longest_gap
        return cls(
            name=key.name,
            member_id=key.member_id,
            asset_id=key.asset_id,
            start=grid.start,
            end=grid.end,
            resolution_minutes=grid.step_minutes,
            expected=quality.expected,
            completeness=quality.completeness,
            counts=dict(quality.counts),
            gap_count=len(quality.gaps),
            longest_gap=None if longest is None else StretchAnswer.from_domain(longest),
            gaps=[StretchAnswer.from_domain(gap) for gap in _longest(quality.gaps)],
            suspect_count=quality.suspect_count,
            suspects=[SuspectAnswer.of(one) for one in _longest(quality.suspects)],
            days=[
                DayAnswer(day=one.day, expected=one.expected, present=one.present, suspect=one.suspect)
                for one in quality.days
            ],
            last_reading_end=quality.last_reading_end,
            data_age_s=_age_s(quality.last_reading_end, now),
        )


class MeterAnswer(Answer):
    """One meter beside the others."""

    name: str
    member_id: str | None
    asset_id: str | None
    expected: int
    missing: int
    suspect: int
    reasons: list[Reason]
    last_reading_end: Instant | None
    data_age_s: float | None

    @classmethod
    def from_domain(cls, meter: MeterQuality, now: datetime) -> "MeterAnswer":
        return cls(
            name=meter.key.name,
            member_id=meter.key.member_id,
            asset_id=meter.key.asset_id,
            expected=meter.expected,
            missing=meter.missing,
            suspect=meter.suspect,
            reasons=list(meter.reasons),
            last_reading_end=meter.last_reading_end,
            data_age_s=_age_s(meter.last_reading_end, now),
        )


class MetersAnswer(Answer):
    """All meters of members and assets; those with the largest share missing or suspect come first."""

    count: int
    reporting: int = Field(description="Of which some reading came")
    silent: int = Field(description="Of which readings were expected and none came")
    suspect: int = Field(description="Of which some reading is suspect")
    page: list[MeterAnswer]

    @classmethod
    def from_domain(cls, meters: Sequence[MeterQuality], now: datetime, *, first: int, limit: int) -> "MetersAnswer":
        return cls(
            count=len(meters),
            reporting=sum(one.last_reading_end is not None for one in meters),
            silent=sum(one.is_silent for one in meters),
            suspect=sum(one.suspect > 0 for one in meters),
            page=[MeterAnswer.from_domain(one, now) for one in meters[first : first + limit]],
        )


class QualityAnswer(Page):
    """How far readings can be trusted; suspicion is found in what is stored, and never stored."""

    as_of: Instant
    series: list[SeriesQualityAnswer] = Field(description="The community's own, or those of the one asked about")
    meters: MetersAnswer | None = Field(description="Null where one member or asset was asked about")


def _longest(stretches: Sequence[Stretch]) -> list[Stretch]:
    found = nlargest(MOST_STRETCHES, stretches, key=lambda one: one.intervals)
    return sorted(found, key=lambda one: one.start)


def _age_s(instant: datetime | None, now: datetime) -> float | None:
    return None if instant is None else max(0.0, (now - instant).total_seconds())

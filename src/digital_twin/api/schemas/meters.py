"""How single meters fare, as answers."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import PLAIN_DIGITS, Answer, Body, Cursor, Instant, Page
from digital_twin.macro_twin import Condition
from digital_twin.services.meters import MeterReport
from digital_twin.services.twin_questions import MeterLook

CONDITION = (
    "dead: no reading for a day; refused: the newest is more or less than the meter can show; stuck: one value for a "
    "day, believed all the same; silent: no reading of the last interval; reporting"
)


class MetersQuery(Body):
    """How many of them."""

    model_config = ConfigDict(strict=False, extra="forbid")

    limit: Annotated[int, PLAIN_DIGITS, Field(ge=1, le=1000, description="Meters of a page")] = 20
    cursor: Cursor | None = None


class StateMeterAnswer(Answer):
    """One meter of one series."""

    series: str
    member_id: str
    condition: Annotated[Condition, Field(description=CONDITION)]
    since: Instant | None = Field(description="Since when; null while it reports, and where that is longer than a week")
    last_reading_end: Instant | None = Field(description="End of the interval of its newest reading of the last week")
    data_age_s: float | None
    variance_fall_kw2: float | None = Field(
        description="By how much the variance of the next interval's demand (of net load for net meters) would fall if "
        "this meter reported besides those that do; 0 for those, null for other series"
    )
    sd_fall_kw: float | None = Field(description="The same for its standard deviation")

    @classmethod
    def from_domain(cls, look: MeterLook, now: datetime) -> "StateMeterAnswer":
        age_s = None if look.newest_end is None else max(0.0, (now - look.newest_end).total_seconds())
        return cls(
            series=look.name,
            member_id=look.member_id,
            condition=look.condition,
            since=look.since,
            last_reading_end=look.newest_end,
            data_age_s=age_s,
            variance_fall_kw2=look.variance_fall_kw2,
            sd_fall_kw=look.sd_fall_kw,
        )


class StateMetersAnswer(Page):
    """The meters that the state rests on, the one whose readings would help most first, then those in trouble."""

    as_of: Instant
    observed_at: Instant | None = Field(description="End of the last interval with a reading; null before any")
    counts: dict[Condition, int] = Field(description="How many meters are in which condition")
    meters: list[StateMeterAnswer]

    @classmethod
    def from_domain(cls, report: MeterReport, *, first: int, limit: int) -> "StateMetersAnswer":
        shown = report.meters[first : first + limit]
        return cls(
            as_of=report.as_of,
            observed_at=report.observed_at,
            counts=report.counts,
            meters=[StateMeterAnswer.from_domain(one, report.as_of) for one in shown],
        )

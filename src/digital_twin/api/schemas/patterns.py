"""Load patterns, as they are asked for and answered."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal, cast

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import PLAIN_DIGITS, Answer, Body, Cursor, Identifier, Instant, Page, Provenance
from digital_twin.forecasting.patterns import DayPatterns, MeterPattern, NamedGroup
from digital_twin.forecasting.unusual_days import UnusualDay
from digital_twin.services.patterns import LONGEST_DAYS, SHORTEST_DAYS, USUAL_DAYS, PatternReport

Device = Literal["heat_pump", "ev", "pv"]


class PatternQueryBody(Body):
    """Whose patterns, and how far back."""

    model_config = ConfigDict(strict=False, extra="forbid")

    days: Annotated[
        int,
        PLAIN_DIGITS,
        Field(ge=SHORTEST_DAYS, le=LONGEST_DAYS, description="Whole days before today, or before `as_of`"),
    ] = USUAL_DAYS
    member_id: Identifier | None = None
    as_of: Instant | None = None
    limit: Annotated[int, PLAIN_DIGITS, Field(ge=1, le=1000, description="Members of a page")] = 100
    cursor: Cursor | None = None


class ReasonAnswer(Answer):
    """A feature that speaks for a device, or against it."""

    feature: str
    log_odds: float = Field(description="What it adds to the logarithm of the odds")


class DeviceAnswer(Answer):
    """How probable it is that a home has a device."""

    probability: float = Field(ge=0, le=1)
    because: list[ReasonAnswer] = Field(description="What speaks most for or against it")


class ColdAnswer(Answer):
    """How consumption answers to cold."""

    kw_per_c: float = Field(description="More in the mean of a day per degree colder than the bend")
    bend_c: float
    share: float = Field(description="Of the variation from day to day")


class MeterPatternAnswer(Answer):
    """What one meter shows."""

    shape: str = Field(description="The name of its usual day", examples=["evening peak"])
    days: int = Field(description="With few gaps")
    mean_kw: float
    base_share: float = Field(description="What is always on, of the mean")
    peak_kw: float = Field(description="99.5 of 100 readings are below")
    peak_hour: int = Field(description="Local hour with the highest mean")
    workday_kw: list[float] = Field(description="Mean workday by local hour")
    day_off_kw: list[float] = Field(description="Mean weekend day or holiday by local hour")
    cold: ColdAnswer | None = Field(description="Null where the temperature is not known, or hardly varied")
    devices: dict[Device, DeviceAnswer]

    @classmethod
    def from_domain(cls, pattern: MeterPattern) -> "MeterPatternAnswer":
        cold = pattern.cold
        return cls(
            shape=pattern.shape,
            days=pattern.days,
            mean_kw=pattern.mean_kw,
            base_share=pattern.base_share,
            peak_kw=pattern.peak_kw,
            peak_hour=pattern.peak_hour,
            workday_kw=pattern.workday_kw.tolist(),
            day_off_kw=pattern.day_off_kw.tolist(),
            cold=None if cold is None else ColdAnswer(kw_per_c=cold.kw_per_c, bend_c=cold.bend_c, share=cold.share),
            devices={
                cast(Device, name): DeviceAnswer(
                    probability=one.probability,
                    because=[ReasonAnswer(feature=feature, log_odds=push) for feature, push in one.because],
                )
                for name, one in pattern.devices.items()
            },
        )


class GroupAnswer(Answer):
    """Homes, or days, that are alike."""

    name: str
    count: int
    workday: list[float] = Field(description="By local hour, in units of the mean")
    day_off: list[float]

    @classmethod
    def from_domain(cls, group: NamedGroup) -> "GroupAnswer":
        return cls(name=group.name, count=group.count, workday=group.workday.tolist(), day_off=group.day_off.tolist())


class GroupsAnswer(Answer):
    """Groups, as many as make the silhouette largest."""

    groups: list[GroupAnswer]
    silhouette: float | None = Field(description="How far groups lie apart, -1..1; null for one group")
    stability: float | None = Field(description="Adjusted Rand index of groups found again in 80 % of them")


class UnusualDayAnswer(Answer):
    """A day that differs from those of its kind, season and temperature."""

    day: date
    distance: float = Field(description="In robust deviations of ordinary days")
    because: str = Field(examples=["no evening peak"])
    kw: list[float]
    usual_kw: list[float]

    @classmethod
    def from_domain(cls, one: UnusualDay) -> "UnusualDayAnswer":
        return cls(
            day=one.day, distance=one.distance, because=one.because, kw=list(one.kw), usual_kw=list(one.usual_kw)
        )


class KindOfDayAnswer(Answer):
    """Which kind a day is."""

    day: date
    kind: str


class SeriesPatternsAnswer(Answer):
    """Of the community, or of the one member."""

    series: str
    pattern: MeterPatternAnswer
    kinds: GroupsAnswer
    days: list[KindOfDayAnswer]
    unusual: list[UnusualDayAnswer] = Field(description="The farthest first")

    @classmethod
    def from_domain(cls, series: str, found: DayPatterns) -> "SeriesPatternsAnswer":
        return cls(
            series=series,
            pattern=MeterPatternAnswer.from_domain(found.pattern),
            kinds=_groups(found.kinds, found.silhouette, found.stability),
            days=[
                KindOfDayAnswer(day=day, kind=found.kinds[kind].name)
                for day, kind in zip(found.day, found.kind_of, strict=True)
            ],
            unusual=[UnusualDayAnswer.from_domain(one) for one in found.unusual],
        )


class MemberPatternAnswer(Answer):
    """One member beside the others."""

    member_id: str
    series: str
    group: str | None
    pattern: MeterPatternAnswer | None = Field(description="Null where too few days have few gaps")


class MembersPatternsAnswer(Answer):
    """All members with a meter."""

    count: int
    with_pattern: int
    expected: dict[Device, float] = Field(description="Sum of probabilities: how many homes seem to have it")
    groups: GroupsAnswer
    page: list[MemberPatternAnswer]


class PatternsAnswer(Page):
    """Load patterns over whole days of the community's calendar."""

    start: Instant
    end: Instant
    own: SeriesPatternsAnswer | None = Field(description="Of the community as a whole, or of the one asked about")
    members: MembersPatternsAnswer | None = Field(description="Null where one member was asked about")
    provenance: Provenance

    @classmethod
    def from_report(cls, report: PatternReport, *, first: int, limit: int) -> "PatternsAnswer":
        own = None
        if report.days is not None and report.series is not None:
            own = SeriesPatternsAnswer.from_domain(report.series, report.days)
        return cls(
            start=report.start,
            end=report.end,
            own=own,
            members=_members(report, first, limit),
            provenance=Provenance.model_validate(report.provenance.to_document()),
        )


def _members(report: PatternReport, first: int, limit: int) -> MembersPatternsAnswer | None:
    found = report.members
    if found is None:
        return None
    told = [one for one in found.meters if one is not None]
    rows = list(zip(report.meters, found.meters, found.group_of, strict=True))[first : first + limit]
    devices: tuple[Device, ...] = ("heat_pump", "ev", "pv")
    return MembersPatternsAnswer(
        count=len(found.meters),
        with_pattern=len(told),
        expected={name: sum(one.devices[name].probability for one in told) for name in devices},
        groups=_groups(found.groups, found.silhouette, found.stability),
        page=[
            MemberPatternAnswer(
                member_id=meter.member_id,
                series=meter.series,
                group=None if number is None else found.groups[number].name,
                pattern=None if pattern is None else MeterPatternAnswer.from_domain(pattern),
            )
            for meter, pattern, number in rows
        ],
    )


def _groups(groups: Sequence[NamedGroup], silhouette: float | None, stability: float | None) -> GroupsAnswer:
    return GroupsAnswer(
        groups=[GroupAnswer.from_domain(one) for one in groups], silhouette=silhouette, stability=stability
    )

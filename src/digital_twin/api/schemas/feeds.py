"""Feeds of weather, prices and carbon as bodies and answers."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, field_validator

from digital_twin.api.schemas.model import Answer, Body, Instant, InvalidValue
from digital_twin.domain.bidding_zones import BiddingZone, bidding_zone
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.feeds import CarbonFeed, PriceFeed, PriceTerms, WeatherFeed
from digital_twin.domain.generation_mix import EmissionBasis
from digital_twin.domain.quality import WORDS, QualityWord
from digital_twin.services.feeds import FeedStatus
from digital_twin.services.ports import FeedIssue

ENABLED = Field(default=True, description="Whether it is fetched; the values stay")
ZONE = Field(max_length=16, description="A bidding zone such as AT or DE-LU, or its Energy Identification Code")


class PriceTermsBody(Body):
    """What a contract makes of the spot price: (spot x factor + adder_per_kwh) x (1 + vat)."""

    factor: Annotated[float, Field(ge=-10, le=10)] = 1.0
    adder_per_kwh: Annotated[float, Field(ge=-10, le=10)] = 0.0
    vat: Annotated[float, Field(ge=0, le=1)] = 0.0

    def to_domain(self) -> PriceTerms:
        return PriceTerms(self.factor, self.adder_per_kwh, self.vat)

    @classmethod
    def from_domain(cls, terms: PriceTerms) -> Self:
        return cls(factor=terms.factor, adder_per_kwh=terms.adder_per_kwh, vat=terms.vat)


class WeatherFeedBody(Body):
    """Weather of the community's place: a forecast of a week every hour, and the past."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"resolution_minutes": 60}]})

    source: Literal["open-meteo"] = "open-meteo"
    resolution_minutes: Literal[15, 60] = 60
    enabled: bool = ENABLED

    def to_domain(self) -> WeatherFeed:
        return WeatherFeed(self.resolution_minutes, self.enabled)


class _ZoneBody(Body):
    """What is asked for a bidding zone."""

    source: Literal["entsoe"] = "entsoe"
    zone: Annotated[str, ZONE]
    enabled: bool = ENABLED

    @field_validator("zone")
    @classmethod
    def _names_a_zone(cls, value: str) -> str:
        try:
            bidding_zone(value)
        except InvalidInput as error:
            raise InvalidValue(error.message) from error
        return value


class PriceFeedBody(_ZoneBody):
    """Day-ahead prices of a bidding zone, made into the community's import and export price."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "zone": "AT",
                    "import_terms": {"factor": 1.03, "adder_per_kwh": 0.12, "vat": 0.2},
                    "export_terms": {"factor": 0.95},
                }
            ]
        }
    )

    import_terms: PriceTermsBody = Field(default_factory=PriceTermsBody)
    export_terms: PriceTermsBody = Field(default_factory=PriceTermsBody)

    def to_domain(self) -> PriceFeed:
        terms = self.import_terms.to_domain(), self.export_terms.to_domain()
        return PriceFeed(bidding_zone(self.zone), *terms, self.enabled)


class CarbonFeedBody(_ZoneBody):
    """The average emission factor of what generates in a bidding zone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"zone": "AT", "basis": "direct"}]})

    basis: Literal["direct", "life_cycle"] = Field(
        default="direct", description="What leaves the stack, or also what building and fuelling the plants emits"
    )

    def to_domain(self) -> CarbonFeed:
        return CarbonFeed(bidding_zone(self.zone), EmissionBasis(self.basis), self.enabled)


class ZoneAnswer(Answer):
    """A bidding zone by its short name, where it has one, and its Energy Identification Code."""

    name: str
    code: str

    @classmethod
    def from_domain(cls, zone: BiddingZone) -> Self:
        return cls(name=zone.name, code=zone.code)


class IssueAnswer(Answer):
    """What a source told: when it issued that, when it was fetched, and from when to when it goes."""

    issued_at: Instant
    fetched_at: Instant
    start: Instant
    end: Instant

    @classmethod
    def from_port(cls, issue: FeedIssue) -> Self:
        assert issue.issued_at is not None
        assert issue.start is not None
        assert issue.end is not None
        return cls(issued_at=issue.issued_at, fetched_at=issue.fetched_at, start=issue.start, end=issue.end)


class AttemptAnswer(Answer):
    """The last attempt to fetch it."""

    fetched_at: Instant
    outcome: Literal["stored", "empty", "refused", "unavailable"] = Field(
        description="empty: nothing is published yet; refused: the answer cannot be believed, or we are refused; "
        "unavailable: nothing answered in time"
    )
    note: str | None = Field(description="What went wrong, in a sentence")


class FeedAnswer(Answer):
    """A feed, and how fresh what it tells is."""

    kind: Literal["weather", "prices", "carbon"]
    source: Literal["open-meteo", "entsoe"]
    enabled: bool
    resolution_minutes: int | None = None
    zone: ZoneAnswer | None = None
    import_terms: PriceTermsBody | None = None
    export_terms: PriceTermsBody | None = None
    basis: Literal["direct", "life_cycle"] | None = None
    issue: IssueAnswer | None = Field(description="The last that was believed and stored")
    age_s: float | None = Field(description="Since that was fetched")
    quality: QualityWord = Field(
        description="Of the hours to come: substituted while the last good issue stands in for one that failed"
    )
    last_attempt: AttemptAnswer | None
    next_attempt_at: Instant
    history_from: date | None = Field(description="The first UTC day of the past that was fetched")
    history_until: date | None = Field(description="The UTC day before which all of it was fetched")

    @classmethod
    def from_status(cls, status: FeedStatus) -> Self:
        stored, attempt = status.stored, status.attempt
        answer = cls(
            kind=stored.feed.kind.value,
            source="open-meteo" if isinstance(stored.feed, WeatherFeed) else "entsoe",
            enabled=stored.feed.enabled,
            issue=None if status.issue is None else IssueAnswer.from_port(status.issue),
            age_s=status.age_s,
            quality=WORDS[status.quality],
            last_attempt=None
            if attempt is None
            else AttemptAnswer(fetched_at=attempt.fetched_at, outcome=attempt.outcome.value, note=attempt.note),
            next_attempt_at=stored.next_fetch_at,
            history_from=stored.archived_from,
            history_until=stored.archived_until,
        )
        return answer.model_copy(update=_settings_of(stored.feed))


class FeedsAnswer(Answer):
    """The feeds that are set up."""

    feeds: list[FeedAnswer]


def _settings_of(feed: WeatherFeed | PriceFeed | CarbonFeed) -> dict[str, object]:
    if isinstance(feed, WeatherFeed):
        return {"resolution_minutes": feed.resolution_minutes}
    zone = ZoneAnswer.from_domain(feed.zone)
    if isinstance(feed, CarbonFeed):
        return {"zone": zone, "basis": feed.basis.value}
    return {
        "zone": zone,
        "import_terms": PriceTermsBody.from_domain(feed.import_terms),
        "export_terms": PriceTermsBody.from_domain(feed.export_terms),
    }

"""How long readings are kept, and what was erased, as bodies."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import Answer, Body, Identifier
from digital_twin.domain.retention import MAX_DAYS, Retention
from digital_twin.services.ports import Erased

Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]


class RetentionBody(Body):
    """Days for which readings, and what was known of them when, are kept; null keeps them for ever."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"readings_days": 1095, "journal_days": 400}]})

    readings_days: Days | None = None
    journal_days: Days | None = None

    def to_domain(self) -> Retention:
        return Retention(self.readings_days, self.journal_days)


class RetentionAnswer(Answer):
    readings_days: int | None
    journal_days: int | None

    @classmethod
    def from_domain(cls, retention: Retention) -> Self:
        return cls(readings_days=retention.readings_days, journal_days=retention.journal_days)


class ErasedAnswer(Answer):
    """What was removed with a member: series with their days, assets, others' sight of them, and what named them."""

    member_id: Identifier
    series: int
    days: int
    assets: int
    memberships: int
    documents: int

    @classmethod
    def from_domain(cls, member_id: str, erased: Erased) -> Self:
        return cls(
            member_id=member_id,
            series=erased.series,
            days=erased.days,
            assets=erased.assets,
            memberships=erased.memberships,
            documents=erased.documents,
        )

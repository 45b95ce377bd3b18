"""The plan in force."""

from pydantic import Field

from digital_twin.api.schemas.model import Answer, Instant
from digital_twin.api.schemas.schedules import ScheduleAnswer


class ActiveScheduleAnswer(Answer):
    """The plan that is to be carried out, since when, and the account that put it in force."""

    applied_at: Instant
    applied_by: int
    applied_by_name: str | None = Field(
        default=None, description="For that account itself, and for who may see the memberships of the community"
    )
    ends_at: Instant
    schedule: ScheduleAnswer

"""The plan in force."""

from digital_twin.api.schemas.model import Answer, Instant
from digital_twin.api.schemas.schedules import ScheduleAnswer


class ActiveScheduleAnswer(Answer):
    """The plan that is to be carried out, since when, and the account that put it in force."""

    applied_at: Instant
    applied_by: int
    ends_at: Instant
    schedule: ScheduleAnswer

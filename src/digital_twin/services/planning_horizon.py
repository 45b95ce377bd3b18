"""Which intervals a plan is about, and the instant whose knowledge it rests on."""

from datetime import datetime

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid, floor_to_step


def planned_grid(start: datetime | None, horizon_hours: float, resolution_minutes: int, now: datetime) -> TimeGrid:
    """The grid from `start`, or else from the interval that holds the present. Raises InvalidInput."""
    steps = horizon_hours * 60 / resolution_minutes
    if steps != int(steps):
        raise InvalidInput(
            f"horizon_hours must be a whole number of {resolution_minutes}-minute intervals", field="horizon_hours"
        )
    return TimeGrid(start or floor_to_step(now, resolution_minutes), int(steps), resolution_minutes)


def known_at(as_of: datetime | None, start: datetime | None, now: datetime) -> datetime:
    """A plan of the past knows what was known at its start. Raises InvalidInput for an `as_of` in the future."""
    if as_of is not None and as_of > now:
        raise InvalidInput("as_of must not lie in the future", field="as_of")
    return as_of or (now if start is None else min(now, start))

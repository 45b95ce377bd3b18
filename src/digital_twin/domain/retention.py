"""How long a community keeps what it was told."""

from dataclasses import dataclass
from datetime import UTC, datetime

from digital_twin.domain.errors import InvalidInput

MAX_DAYS = 36_525
"""A hundred years: longer is for ever, which None says."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Days for which readings, and what was known of them when, are kept; None keeps them for ever."""

    readings_days: int | None = None
    journal_days: int | None = None

    def __post_init__(self) -> None:
        for field in ("readings_days", "journal_days"):
            days = getattr(self, field)
            if days is not None and not 1 <= days <= MAX_DAYS:
                raise InvalidInput(f"{field} must lie in 1..{MAX_DAYS} or be null to keep all, got {days}", field=field)


def not_kept(known_from: datetime) -> InvalidInput:
    """What to say to who asks as of an instant before this one."""
    return InvalidInput(
        f"what was known when is kept from {known_from.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} on; "
        "ask as of a later instant, or without as_of",
        field="as_of",
    )

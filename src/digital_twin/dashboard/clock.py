"""Instants in the community's own time zone."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def zone_of(name: str | None) -> tzinfo:
    """The zone of this name, UTC where there is none."""
    try:
        return UTC if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def parsed(instant: str) -> datetime:
    """An instant of the API."""
    return datetime.fromisoformat(instant).astimezone(UTC)


def local_text(instant: datetime, zone: tzinfo) -> str:
    """Weekday, day and time."""
    return f"{instant.astimezone(zone):%a %d %b %H:%M}"


def local_hour(instant: datetime, zone: tzinfo) -> str:
    """Weekday and time, for a sentence about the next days."""
    return f"{instant.astimezone(zone):%A %H:%M}"


def ceiling(instant: datetime, minutes: int) -> datetime:
    """The first instant from here on that stands on a whole multiple of so many minutes of UTC."""
    step = timedelta(minutes=minutes)
    past = (instant - datetime(1970, 1, 1, tzinfo=UTC)) % step
    return instant if not past else instant + step - past

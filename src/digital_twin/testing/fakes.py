"""Small stand-ins for the outside."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from digital_twin.domain.time import as_utc

T = TypeVar("T")


class FakeClock:
    """The port `Clock`; time stands still until it is moved."""

    def __init__(self, now: datetime = datetime(2026, 3, 2, 12, tzinfo=UTC)) -> None:
        self._now = as_utc(now)

    def now(self) -> datetime:
        return self._now

    def advance(self, **by: float) -> None:
        """Move on, as in `advance(minutes=15)`."""
        self._now += timedelta(**by)


class InProcessPool:
    """The port `ComputePool` without processes: the function runs here and now, and is never stopped."""

    async def call(self, function: Callable[..., T], *args: Any, timeout_s: float) -> T:
        return function(*args)

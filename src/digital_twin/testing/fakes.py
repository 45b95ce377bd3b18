"""Small stand-ins for the outside."""

from collections.abc import AsyncGenerator, Callable, Sequence
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
    """The ports `ComputePool` and `ParallelMap` without processes: what runs here and now is never stopped."""

    async def call(self, function: Callable[..., T], *args: Any, timeout_s: float) -> T:
        return function(*args)

    async def map(
        self, function: Callable[..., T], arguments: Sequence[tuple[Any, ...]], *, timeout_s: float
    ) -> AsyncGenerator[tuple[int, T], None]:
        for place, args in enumerate(arguments):
            yield place, function(*args)

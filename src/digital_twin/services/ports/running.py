"""What computing and guarding need: the clock, warm processes, password hashes, tokens, rate limits."""

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Says what time it is; tests hold it in their hands."""

    def now(self) -> datetime: ...


class ComputePool(Protocol):
    """Runs pure functions in warm processes."""

    async def call(self, function: Callable[..., T], *args: Any, timeout_s: float) -> T:
        """The function's result. Raises Unavailable when it is late or its process died; the process is gone then."""
        ...


class ParallelMap(Protocol):
    """Spreads pure functions over processes."""

    def map(
        self, function: Callable[..., T], arguments: Sequence[tuple[Any, ...]], *, timeout_s: float
    ) -> AsyncGenerator[tuple[int, T], None]:
        """Each result with the place of its arguments, in the order in which they come.

        Raises Unavailable when one is late or its process died. Closing the generator stops what is still computed.
        """
        ...


class PasswordHasher(Protocol):
    """Slow on purpose, and never for more than a few at once."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether it is the password. Takes as long for None, which no password fits."""
        ...

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash should be made again with today's cost."""
        ...


class TokenSigner(Protocol):
    """Access tokens: who and which session, for a short time."""

    @property
    def lifetime(self) -> timedelta: ...

    def sign(self, *, account_id: int, session_id: str, now: datetime) -> str: ...

    def successor(self, secret: str) -> str:
        """The secret of the next refresh token: the same each time, and only the signer can tell it."""
        ...

    def verify(self, token: str, *, now: datetime) -> tuple[int, str] | None:
        """Account and session of a good token, None for any other."""
        ...


class RateLimiter(Protocol):
    """Counts requests in a window of time."""

    async def hit(self, key: str, *, limit: int, window: timedelta) -> timedelta | None:
        """Count one; None if it is within the limit, else how long to wait."""
        ...

    async def is_shared(self) -> bool | None:
        """Whether it counts together with other processes now; None where it is not meant to."""
        ...

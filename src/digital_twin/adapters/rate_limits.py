"""Rate limits counted in this process."""

import time
from datetime import timedelta

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter


class InProcessLimiter:
    """The port `RateLimiter` in memory: exact for one process, per process for several."""

    def __init__(self) -> None:
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    async def hit(self, key: str, *, limit: int, window: timedelta) -> timedelta | None:
        item = RateLimitItemPerSecond(limit, int(window.total_seconds()))
        if await self._windows.hit(item, key):
            return None
        statistics = await self._windows.get_window_stats(item, key)
        return timedelta(seconds=max(1.0, statistics.reset_time - time.time()))

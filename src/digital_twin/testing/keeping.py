"""Keeping in memory: a log of writes needs no upkeep, so that only what removes readings does anything."""

from datetime import datetime

from digital_twin.domain.retention import Retention
from digital_twin.services.ports import Compacted
from digital_twin.testing.readings import ReadingLog


class MemoryKeeping:
    """The port `Keeping`."""

    def __init__(self, log: ReadingLog) -> None:
        self._log = log

    async def retention(self) -> Retention:
        return self._log.retention

    async def retain(self, retention: Retention) -> None:
        self._log.retention = retention

    async def begin_upkeep(self) -> bool:
        return True

    async def close_day(self) -> int | None:
        return None

    async def compact(self, received_before: datetime) -> Compacted | None:
        return None

    async def forget_keys(self, received_before: datetime) -> int:
        newest = max((one.received_at for one in self._log.receipts.values()), default=received_before)
        old = [key for key, one in self._log.receipts.items() if one.received_at < min(received_before, newest)]
        for key in old:
            del self._log.receipts[key]
        return len(old)

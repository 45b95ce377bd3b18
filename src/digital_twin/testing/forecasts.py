"""Issued forecasts and their care in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from digital_twin.services.ports import KEPT_FORECASTS, ForecastCare, IssuedForecast
from digital_twin.testing.readings import ReadingLog


@dataclass
class ForecastTables:
    """One community's."""

    issued: dict[tuple[str, datetime], IssuedForecast] = field(
        default_factory=dict[tuple[str, datetime], IssuedForecast]
    )
    care: ForecastCare | None = None


class MemoryIssuedForecasts:
    """The port `IssuedForecasts`."""

    def __init__(
        self, tables: ForecastTables, log: ReadingLog, everywhere: Mapping[str, tuple[ForecastTables, ReadingLog]]
    ) -> None:
        self._tables = tables
        self._log = log
        self._everywhere = everywhere

    async def add(self, issued: IssuedForecast) -> bool:
        key = issued.variable, issued.start
        is_new = key not in self._tables.issued
        self._tables.issued.setdefault(key, issued)
        oldest = issued.start - KEPT_FORECASTS
        for variable, start in list(self._tables.issued):
            if variable == issued.variable and start < oldest:
                del self._tables.issued[variable, start]
        return is_new

    async def between(self, start: datetime, end: datetime) -> list[IssuedForecast]:
        return [one for (_, begin), one in sorted(self._tables.issued.items()) if start <= begin < end]

    async def care(self) -> ForecastCare | None:
        return self._tables.care

    async def keep_care(self, care: ForecastCare) -> bool:
        current = 0 if self._tables.care is None else self._tables.care.version
        if care.version != current:
            return False
        self._tables.care = replace(care, version=current + 1)
        return True

    async def history_came(self, since: datetime) -> bool:
        return _came(self._log, since)

    async def due(self, now: datetime) -> list[str]:
        looked = [
            (tables.care is None, now if tables.care is None else tables.care.next_look_at, community_id)
            for community_id, (tables, _) in self._everywhere.items()
        ]
        return [community_id for _, at, community_id in sorted(looked) if at <= now or self._has_its(community_id)]

    def _has_its(self, community_id: str) -> bool:
        """Whether the history that it lacked has come."""
        tables, log = self._everywhere[community_id]
        lacked_at = None if tables.care is None else tables.care.lacked_history_at
        return lacked_at is not None and _came(log, lacked_at)


def _came(log: ReadingLog, since: datetime) -> bool:
    return log.history_at is not None and log.history_at > since

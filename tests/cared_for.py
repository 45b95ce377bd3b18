"""A community whose forecasts are looked after day by day."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from tests.builders import MONDAY, community, hours, issued_forecast, series

from digital_twin.domain.readings import SeriesValues
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.forecast_accuracy import AccuracyService
from digital_twin.services.forecast_care import ForecastCareService
from digital_twin.services.forecasts import ForecastService
from digital_twin.services.issued_forecasts import ForecastIssuer
from digital_twin.services.lessons import Teacher
from digital_twin.services.models import ModelService
from digital_twin.services.ports import Event, ForecastCare, IssuedForecast, Run
from digital_twin.services.runs import RunService
from digital_twin.testing import FakeClock, InProcessPool, MemoryStore

HERE = "solar_valley"
DAY = timedelta(days=1)
GRANT = Grant(Caller(1, "ada", Role.ADMIN), HERE)
AT_ONCE = timedelta(0)


def load(days: int, *, seed: int = 1, minutes: int = 60) -> list[float]:
    """A daily wave with some noise."""
    steps = days * 1440 // minutes
    wave = 60 + 25 * np.sin(2 * np.pi * (np.arange(steps) * minutes / 60 - 8) / 24)
    return (wave + np.random.default_rng(seed).normal(0, 2, steps)).tolist()


class _Silent(ForecastIssuer):
    """Says nothing, for what does not depend on what is said."""

    async def issue(self, community_id: str, midnight: datetime) -> None:
        pass


class World:
    """A community in memory whose forecasts are looked after."""

    def __init__(self, *, retrains: bool = True, issues: bool = True) -> None:
        self.clock = FakeClock(MONDAY + hours(0.1))
        self.store = MemoryStore(self.clock)
        self.pool = InProcessPool()
        self.forecasts = ForecastService(self.store, self.clock, self.pool)
        runs = RunService(self.store, self.clock, self.store.feed)
        models = self.models = ModelService(self.store, self.clock, runs, self.forecasts)
        issuer = ForecastIssuer(self.store, self.forecasts) if issues else _Silent(self.store, self.forecasts)
        self.teacher = Teacher(self.store, self.clock, self.pool, models)
        self.care = ForecastCareService(
            self.store, self.clock, teacher=self.teacher, issuer=issuer, models=models, retrains=retrains
        )
        self.accuracy = AccuracyService(self.store, self.clock)
        self._keys = iter(range(10_000))

    async def open(self, *readings: SeriesValues, timezone: str | None = None) -> None:
        async with self.store.platform() as tx:
            await tx.communities.create(community(HERE, timezone=timezone))
        await self.record(*readings)

    async def record(self, *readings: SeriesValues, delay: timedelta | None = AT_ONCE) -> None:
        if readings:
            async with self.store.community(HERE) as tx:
                await tx.readings.record(readings, key=str(next(self._keys)), assumed_delay=delay)

    async def issued(self) -> list[IssuedForecast]:
        async with self.store.community(HERE) as tx:
            return await tx.issued_forecasts.between(MONDAY - 100 * DAY, MONDAY + 400 * DAY)

    async def days(self, variable: str = "load_kw") -> list[datetime]:
        return [one.start for one in await self.issued() if one.variable == variable]

    async def kept_care(self) -> ForecastCare:
        async with self.store.community(HERE) as tx:
            found = await tx.issued_forecasts.care()
        assert found is not None
        return found

    async def trainings(self) -> list[Run]:
        async with self.store.community(HERE) as tx:
            return [run for run in await tx.runs.page(before=None, limit=100) if run.kind == "training"]

    async def alerts(self) -> list[Event]:
        async with self.store.community(HERE) as tx:
            return [event for event in await tx.events.after(0, limit=1000) if event.kind == "alert"]

    async def issue_as_if(self, days: int, levels_kw: Sequence[float]) -> None:
        """Forecasts of so many past days up to today, each flat at its level; the naive's are half as high again."""
        async with self.store.community(HERE) as tx:
            for back, level in zip(reversed(range(days)), levels_kw, strict=True):
                await tx.issued_forecasts.add(issued_forecast(MONDAY - back * DAY, level_kw=level))


def past_load(days: int, *, minutes: int = 60, name: str = "load_kw") -> SeriesValues:
    return series(name, load(days, minutes=minutes), start=MONDAY - days * DAY, minutes=minutes)

"""What is said every morning: at each local midnight a forecast of the day, kept to be held against what happens."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid, local_date, local_midnight
from digital_twin.forecasting.auto import LONGEST_GAP_DAYS
from digital_twin.forecasting.forecast import Forecast
from digital_twin.services.forecast_inputs import GatheredHistory
from digital_twin.services.forecasts import ForecastRequest, ForecastService
from digital_twin.services.ports import IssuedForecast, Store

RESOLUTION_MINUTES = 15
YARDSTICK = "seasonal_naive"

LONGEST_CATCH_UP_DAYS = 7
"""So many days are made up for after a downtime, each from what was known when it began."""


class ForecastIssuer:
    """Issues forecasts of days, by `auto` and by the seasonal naive beside it."""

    def __init__(self, store: Store, forecasts: ForecastService) -> None:
        self._store = store
        self._forecasts = forecasts

    async def issue(self, community_id: str, midnight: datetime) -> None:
        """Forecast the local day that begins then, from what was known then; a day that has its forecast keeps it.

        Only what is metered is forecast: nothing else can be held against what happens.
        """
        async with self._store.community(community_id) as tx:
            community = (await tx.communities.get(community_id)).community
            request = ForecastRequest(_day_of(community, midnight, RESOLUTION_MINUTES), as_of=midnight)
            gathered = await self._forecasts.gather(tx, community, request)
        variables = _metered(gathered, midnight)
        if not variables:
            return
        step_minutes = _step_minutes(gathered, midnight)
        request = replace(request, grid=_day_of(community, midnight, step_minutes), variables=variables)
        said = (await self._forecasts.compute(gathered, request)).variables
        naive = await self._naive(gathered, replace(request, model=YARDSTICK))
        async with self._store.community(community_id) as tx:
            for name, forecast in said.items():
                await tx.issued_forecasts.add(_issued(forecast, naive.get(name)))

    async def _naive(self, gathered: GatheredHistory, request: ForecastRequest) -> Mapping[str, Forecast]:
        try:
            return (await self._forecasts.compute(gathered, request)).variables
        except InsufficientData:
            return {}


def midnights_due(community: Community, first: datetime, now: datetime) -> list[datetime]:
    """The beginnings of the local days that a forecast is to be issued for, from this one on."""
    zone = community.timezone or "UTC"
    today = local_date(now, zone)
    days = (today - timedelta(days=back) for back in reversed(range(LONGEST_CATCH_UP_DAYS)))
    return [midnight for day in days if first <= (midnight := local_midnight(day, zone)) <= now]


def this_midnight(community: Community, now: datetime) -> datetime:
    """When the local day began."""
    zone = community.timezone or "UTC"
    return local_midnight(local_date(now, zone), zone)


def next_midnight(community: Community, now: datetime) -> datetime:
    """When the next local day begins."""
    zone = community.timezone or "UTC"
    return local_midnight(local_date(now, zone) + timedelta(days=1), zone)


def _day_of(community: Community, midnight: datetime, step_minutes: int) -> TimeGrid:
    return TimeGrid.spanning(midnight, next_midnight(community, midnight), step_minutes)


def _metered(gathered: GatheredHistory, midnight: datetime) -> tuple[str, ...]:
    """The variables whose readings come, or came until lately."""
    oldest = midnight - timedelta(days=LONGEST_GAP_DAYS)
    known = [name for name, one in gathered.histories.items() if one.values.grid.end >= oldest]
    if gathered.is_net_metered:
        return tuple(name for name in ("pv_kw", "net_load_kw") if name in known)
    both = ("net_load_kw",) if {"load_kw", "pv_kw"} <= set(known) else ()
    return (*(name for name in ("load_kw", "pv_kw") if name in known), *both)


def _step_minutes(gathered: GatheredHistory, midnight: datetime) -> int:
    """As fine as the readings, not finer than a quarter of an hour; a day that begins at half past keeps to that."""
    if midnight.minute:
        return RESOLUTION_MINUTES
    return min(60, *(known.values.grid.step_minutes for known in gathered.histories.values()))


def _issued(forecast: Forecast, naive: Forecast | None) -> IssuedForecast:
    return IssuedForecast(
        variable=forecast.variable,
        start=forecast.grid.start,
        issued_at=forecast.issued_at,
        resolution_minutes=forecast.grid.step_minutes,
        model=forecast.model,
        levels=forecast.levels,
        mean=forecast.mean.astype(np.float32),
        quantiles=forecast.quantiles.astype(np.float32),
        naive_quantiles=None if naive is None else naive.quantiles.astype(np.float32),
    )

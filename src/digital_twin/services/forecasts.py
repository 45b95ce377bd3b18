"""What will happen: a forecast for each variable, from what was known at one instant."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.forecasting.auto import AUTO, FEWEST_DAYS, LONGEST_GAP_DAYS, is_enough
from digital_twin.forecasting.forecast import VARIABLES, Forecast, History
from digital_twin.forecasting.intraday import REACH_HOURS
from digital_twin.forecasting.net_load import combine_net_load, split_net_load
from digital_twin.forecasting.paths import Paths
from digital_twin.services.access import Grant
from digital_twin.services.computations import draw_paths, forecast_all
from digital_twin.services.forecast_inputs import GatheredHistory, site_of
from digital_twin.services.history import KnownSeries, community_series, history_of
from digital_twin.services.past_errors import ErrorMemory, days_so_far
from digital_twin.services.ports import Clock, ComputePool, Store, Transaction
from digital_twin.services.provenance import Provenance
from digital_twin.services.trained_models import trained_for
from digital_twin.telemetry import FORECAST_DURATION

WEATHER = ("temperature_c", "ghi_wm2", "dni_wm2", "dhi_wm2", "wind_speed_ms")
QUANTILE_LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)

TAIL_LEVELS = (0.005, 0.025, 0.975, 0.995)
"""Asked of models besides, for what is made of their forecasts: differences, paths, and what the day has shown."""

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """Which variables to forecast on which grid, and from what was known when (default: now or the grid's start)."""

    grid: TimeGrid
    variables: tuple[str, ...] = VARIABLES
    confidence_level: float = 0.9
    include_uncertainty: bool = True
    model: str = "auto"
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CommunityForecast:
    """Forecasts of a community's variables, all issued at the same instant."""

    issued_at: datetime
    grid: TimeGrid
    variables: Mapping[str, Forecast]
    is_net_metered: bool
    provenance: Provenance


class ForecastService:
    """Use cases around forecasts."""

    def __init__(self, store: Store, clock: Clock, pool: ComputePool) -> None:
        self._store = store
        self._clock = clock
        self._pool = pool
        self._errors = ErrorMemory()

    async def generate(self, grant: Grant, request: ForecastRequest) -> dict[str, Any]:
        """The forecast as a document. Raises InvalidInput for an unknown model or variable."""
        async with self._store.community(str(grant.community_id)) as tx:
            stored = await tx.communities.get(str(grant.community_id))
            gathered = await self.gather(tx, stored.community, request)
        forecast = await self.compute(gathered, request)
        return _document(forecast, request)

    async def gather(self, tx: Transaction, community: Community, request: ForecastRequest) -> GatheredHistory:
        """Everything that was known, read inside the caller's transaction."""
        as_of = self._known_at(request)
        provenance = Provenance(as_of)
        site = site_of(community, provenance)
        histories = {
            name: known
            for name in VARIABLES
            if (known := await history_of(tx, community, name, request.grid, as_of)) is not None
        }
        if request.model == AUTO:
            _drop_short_net_load(histories, request.grid, provenance)
        known_weather = {
            name: known
            for name in WEATHER
            if (known := await _weather(tx, community, name, histories, request.grid, as_of)) is not None
        }
        provenance.sources |= {name: known.source for name, known in known_weather.items()}
        weather = {name: known.values for name, known in known_weather.items()}
        until = min(as_of, request.grid.start)
        past_errors = await self._errors.before(tx, community, until)
        gathered = GatheredHistory(site, histories, weather, provenance, past_errors)
        if request.model != AUTO:
            return gathered
        if request.grid.start - until < timedelta(hours=REACH_HOURS):
            so_far = await days_so_far(tx, community, past_errors, histories, until)
            gathered = replace(gathered, so_far=so_far)
        tasks = [gathered.task(name, request.grid) for name in gathered.needed(request.variables, request.model)]
        trained = {task.variable: found for task in tasks if (found := await trained_for(tx, task)) is not None}
        return replace(gathered, trained=trained)

    async def compute(self, gathered: GatheredHistory, request: ForecastRequest) -> CommunityForecast:
        """The forecasts, made in a warm process."""
        return _answered(gathered, request, await self._made(gathered, request))

    async def sample_paths(
        self, gathered: GatheredHistory, request: ForecastRequest, *, count: int, seed: int
    ) -> tuple[CommunityForecast, Paths]:
        """The forecasts, and so many sample paths of load and generation.

        Behind net meters the paths are those of the net load: generation is what is expected, or what is fed in where
        that is more.
        """
        demand = "net_load_kw" if gathered.is_net_metered else "load_kw"
        both = (demand, "pv_kw")
        made = await self._made(gathered, replace(request, variables=tuple(dict.fromkeys((*request.variables, *both)))))
        paths = await self._pool.call(
            draw_paths,
            made[demand],
            made["pv_kw"],
            count,
            gathered.past_errors.dependence_for(demand),
            seed,
            timeout_s=TIMEOUT_S,
        )
        gathered.tell_of_errors()
        return _answered(gathered, request, made), paths

    async def _made(self, gathered: GatheredHistory, request: ForecastRequest) -> dict[str, Forecast]:
        """The wanted forecasts and those that they rest on, at more levels than are wanted."""
        names = gathered.needed(request.variables, request.model)
        tasks = [gathered.task(name, request.grid) for name in names]
        levels = sorted({*_levels(request.confidence_level), *TAIL_LEVELS})
        started = time.perf_counter()
        payloads = {name: one.payload for name, one in gathered.trained.items()}
        said = await self._pool.call(forecast_all, tasks, request.model, levels, payloads, timeout_s=TIMEOUT_S)
        for forecast in said:
            FORECAST_DURATION.labels(forecast.variable, forecast.model).observe(time.perf_counter() - started)
        now = [gathered.led_on(gathered.named(forecast)) for forecast in said]
        made = {forecast.variable: _on_grid(forecast, request.grid, gathered.provenance) for forecast in now}
        if "net_load_kw" in request.variables and "net_load_kw" not in made:
            dependence = gathered.past_errors.dependence
            made["net_load_kw"] = combine_net_load(made["load_kw"], made["pv_kw"], dependence=dependence)
            gathered.tell_of_errors()
        if "load_kw" in request.variables and "load_kw" not in made:
            made["load_kw"], made["pv_kw"] = split_net_load(made["net_load_kw"], made["pv_kw"])
        return made

    def _known_at(self, request: ForecastRequest) -> datetime:
        now = self._clock.now()
        if request.as_of is not None and request.as_of > now:
            raise InvalidInput("as_of must not lie in the future", field="as_of")
        return request.as_of or min(now, request.grid.start)


def _answered(gathered: GatheredHistory, request: ForecastRequest, made: Mapping[str, Forecast]) -> CommunityForecast:
    """What was asked for of what was made."""
    provenance, levels = gathered.provenance, _levels(request.confidence_level)
    wanted = {name: _at_levels(made[name], levels) for name in request.variables}
    for name, forecast in wanted.items():
        provenance.models[name] = forecast.model
        provenance.assume(*forecast.assumptions)
        provenance.cover(forecast.data_start, forecast.data_end)
    return CommunityForecast(provenance.as_of, request.grid, wanted, gathered.is_net_metered, provenance)


def _at_levels(forecast: Forecast, levels: tuple[float, ...]) -> Forecast:
    places = [forecast.levels.index(level) for level in levels]
    return replace(forecast, levels=levels, quantiles=forecast.quantiles[:, places])


async def _weather(
    tx: Transaction,
    community: Community,
    name: str,
    histories: Mapping[str, KnownSeries],
    grid: TimeGrid,
    as_of: datetime,
) -> KnownSeries | None:
    start = min((known.values.grid.start for known in histories.values()), default=grid.start)
    return await community_series(tx, community, name, start, grid.end, as_of)


def _drop_short_net_load(histories: dict[str, KnownSeries], grid: TimeGrid, provenance: Provenance) -> None:
    """Load and generation have priors, net load has none: while net meters tell too little, the priors stay."""
    known = histories.get("net_load_kw")
    if known is None or "load_kw" in histories:
        return
    if not is_enough(History(known.values.grid, known.values.values, {}), grid.start):
        del histories["net_load_kw"]
        provenance.assume(
            f"net_load_kw readings do not count until there are {FEWEST_DAYS} days of them, "
            f"the last at most {LONGEST_GAP_DAYS} days before the forecast"
        )


def _levels(confidence_level: float) -> tuple[float, ...]:
    tail = round((1 - confidence_level) / 2, 6)
    return tuple(sorted({*QUANTILE_LEVELS, tail, round(1 - tail, 6)}))


def _on_grid(forecast: Forecast, grid: TimeGrid, provenance: Provenance) -> Forecast:
    """The forecast on the wanted grid; a coarser one is held over its interval."""
    if forecast.grid == grid:
        return forecast
    provenance.assume(
        f"{forecast.variable} is held constant over the {forecast.grid.step_minutes} minutes that its readings cover"
    )
    repeat = forecast.grid.step_minutes // np.gcd(forecast.grid.step_minutes, grid.step_minutes)
    if grid.step_minutes * repeat != forecast.grid.step_minutes:
        raise InvalidInput(
            f"resolution_minutes must divide the {forecast.grid.step_minutes} minutes of the readings, "
            f"got {grid.step_minutes}",
            field="resolution_minutes",
        )
    first = round((grid.start - forecast.grid.start).total_seconds() / (60 * grid.step_minutes))
    rows = np.arange(first, first + grid.steps) // repeat
    return replace(forecast, grid=grid, mean=forecast.mean[rows], quantiles=forecast.quantiles[rows])


def _document(forecast: CommunityForecast, request: ForecastRequest) -> dict[str, Any]:
    return {
        "issued_at": forecast.issued_at,
        "as_of": forecast.provenance.as_of,
        "start": forecast.grid.start,
        "resolution_minutes": forecast.grid.step_minutes,
        "variables": {name: _variable(made, request) for name, made in forecast.variables.items()},
        "confidence_level": request.confidence_level,
        "models": forecast.provenance.models,
        "provenance": forecast.provenance.to_document(),
    }


def _variable(forecast: Forecast, request: ForecastRequest) -> dict[str, Any]:
    document: dict[str, Any] = {"mean": forecast.mean.tolist()}
    if request.include_uncertainty:
        lower, upper = forecast.interval(request.confidence_level)
        quantiles = {f"{level:g}": forecast.quantiles[:, index].tolist() for index, level in enumerate(forecast.levels)}
        document |= {"quantiles": quantiles, "lower": lower.tolist(), "upper": upper.tolist()}
    return document

"""What a forecast rests on: everything that was known of a community at one instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.auto import AUTO
from digital_twin.forecasting.forecast import Forecast, ForecastTask, History, Site
from digital_twin.forecasting.intraday import DaySoFar, lead_on
from digital_twin.services.countries import country_of
from digital_twin.services.history import KnownSeries
from digital_twin.services.past_errors import FEWEST_DAYS, PastErrors
from digital_twin.services.provenance import Provenance
from digital_twin.services.trained_models import TrainedModel

DEFAULT_PLACE = (48.2, 16.4)
"""Vienna: near the population centre of the countries with energy-community laws; assumed until a place is given."""


@dataclass(frozen=True, slots=True, eq=False)
class GatheredHistory:
    """What was known of a community at one instant."""

    site: Site
    histories: Mapping[str, KnownSeries]
    weather: Mapping[str, SeriesValues]
    provenance: Provenance
    past_errors: PastErrors
    so_far: Mapping[str, DaySoFar] = field(default_factory=dict[str, DaySoFar])
    trained: Mapping[str, TrainedModel] = field(default_factory=dict[str, TrainedModel])

    @property
    def is_net_metered(self) -> bool:
        """Only net meters report: load and generation behind them are not known apart."""
        return "net_load_kw" in self.histories and "load_kw" not in self.histories

    def needed(self, variables: Sequence[str], model: str) -> list[str]:
        """The variables to forecast directly.

        Net load is the difference of the others, unless it is what the meters show: then the load is estimated from
        it, except by a model that was asked for by name.
        """
        direct = [name for name in variables if name != "net_load_kw"]
        if "net_load_kw" in variables:
            direct += ["net_load_kw"] if self.is_net_metered else ["load_kw", "pv_kw"]
        if self.is_net_metered and model == AUTO and "load_kw" in direct:
            direct = ["net_load_kw", "pv_kw"]
        return list(dict.fromkeys(direct))

    def named(self, forecast: Forecast) -> Forecast:
        """The forecast with the version of its model, where it was trained."""
        if not forecast.was_fitted_before:
            return forecast
        return replace(forecast, model=self.trained[forecast.variable].label)

    def led_on(self, forecast: Forecast) -> Forecast:
        """The forecast given what has come of the day that is under way."""
        day = self.so_far.get(forecast.variable)
        return forecast if day is None else lead_on(forecast, day, self.past_errors.dependence_for(forecast.variable))

    def tell_of_errors(self) -> None:
        """Name what says how errors of load and generation hang together."""
        if self.is_net_metered:
            return
        if self.past_errors.shared_days:
            days = self.past_errors.shared_days
            self.provenance.sources["net_load_kw"] = f"load_kw less pv_kw, whose errors were related on {days} days"
        else:
            self.provenance.assume(
                "errors of load and generation are unrelated until there are "
                f"{FEWEST_DAYS} days of issued forecasts with readings of both"
            )

    def task(self, name: str, grid: TimeGrid) -> ForecastTask:
        """The task of one variable, on the resolution of its data where that is coarser than the grid."""
        known = self.histories.get(name)
        if known is None:
            return ForecastTask(name, grid, self.provenance.as_of, self.site, None, self._future(grid))
        self.provenance.sources[name] = known.source
        step_minutes = known.values.grid.step_minutes
        if step_minutes != grid.step_minutes:
            grid = _covering(grid, step_minutes)
        weather = {name: resample(values, known.values.grid).values for name, values in self.weather.items()}
        history = History(known.values.grid, known.values.values, weather)
        return ForecastTask(name, grid, self.provenance.as_of, self.site, history, self._future(grid))

    def _future(self, grid: TimeGrid) -> dict[str, Array] | None:
        future = {name: resample(values, grid).values for name, values in self.weather.items()}
        whole = {name: values for name, values in future.items() if np.isfinite(values).all()}
        return whole or None


def site_of(community: Community, provenance: Provenance) -> Site:
    """Where the community is; what is assumed is named."""
    latitude, longitude = community.latitude, community.longitude
    if latitude is None or longitude is None:
        latitude, longitude = DEFAULT_PLACE
        provenance.assume(f"the place is {latitude} N, {longitude} E until latitude and longitude are given")
    if community.timezone is None:
        provenance.assume("the time zone is UTC until timezone is given")
    return Site(
        latitude,
        longitude,
        community.timezone or "UTC",
        community.num_prosumers,
        community.total_pv_capacity_kw,
        None if community.timezone is None else country_of(community.timezone),
    )


def _covering(grid: TimeGrid, step_minutes: int) -> TimeGrid:
    """The shortest grid of another step that covers this one."""
    seconds = 60 * step_minutes
    first = int(grid.start.timestamp()) // seconds * seconds
    steps = -(-(int(grid.end.timestamp()) - first) // seconds)
    return TimeGrid(datetime.fromtimestamp(first, grid.start.tzinfo), steps, step_minutes)

"""Generation: by the weather where it explains the plant, else by a clear sky and the clouds of late.

`pvwatts` is the model of the registry. Roofs, what limits them and what physics misses are learned together; what a
plant did not generate because it stood still or was held back is found first, and left out.
"""

from dataclasses import dataclass, replace

import numpy as np

from digital_twin.forecasting.forecast import History, Site
from digital_twin.forecasting.forecaster import Arrays, TrainingTask
from digital_twin.forecasting.orientation import Roofs, default_orientation, fit_roofs, usual_roofs
from digital_twin.forecasting.pv_conditions import conditions_of
from digital_twin.forecasting.pv_faults import Faults, find_faults, solar_days
from digital_twin.forecasting.pv_plant import FittedPhotovoltaics
from digital_twin.forecasting.pv_residual import Cases, learn_residual, performance_by_day, thinned
from digital_twin.forecasting.roof_sight import FITTING_DAYS
from digital_twin.forecasting.solar import Sky, position_in_day

__all__ = ["FittedPhotovoltaics", "PVWatts", "default_orientation", "pvwatts"]

FEWEST_CASES = 50


@dataclass(frozen=True, slots=True)
class PVWatts:
    """Learns from two weeks on; before, it answers from the capacity, scaled by what days under known weather gave."""

    needed_days: float = FITTING_DAYS

    def fit(self, task: TrainingTask) -> FittedPhotovoltaics:
        site, history = task.site, task.history
        if history.days < self.needed_days:
            return FittedPhotovoltaics(_roofs_of_capacity(site, history), site.pv_capacity_kw)
        ghi_wm2 = history.weather.get("ghi_wm2", np.full(history.grid.steps, np.nan))
        seen = History(history.grid, np.where(np.isfinite(ghi_wm2), history.values, np.nan), history.weather)
        if seen.days < self.needed_days:
            return _fit_by_clear_sky(site, history, is_unlike_weather=False)
        return _fit_by_weather(site, seen) or _fit_by_clear_sky(site, history, is_unlike_weather=True)

    def from_arrays(self, arrays: Arrays) -> FittedPhotovoltaics:
        return FittedPhotovoltaics.from_arrays(arrays)


pvwatts = PVWatts()


def _roofs_of_capacity(site: Site, history: History) -> Roofs:
    roofs = usual_roofs(site)
    if "ghi_wm2" not in history.weather:
        return roofs
    expected_kw = roofs.output_kw(Sky(site, [history.grid], history.weather))
    faults = find_faults(site, history.grid, history.values, expected_kw)
    usable = np.isfinite(history.values) & (np.nan_to_num(expected_kw) > 0) & ~faults.is_any
    if not usable.any():
        return roofs
    _, latest = performance_by_day(solar_days(site, history.grid)[usable], history.values[usable], expected_kw[usable])
    return replace(roofs, scale_kw=roofs.scale_kw * latest)


def _fit_by_clear_sky(site: Site, history: History, *, is_unlike_weather: bool) -> FittedPhotovoltaics:
    plain = History(history.grid, history.values, {})
    roofs, agreement, faults = _fit_without_faults(site, plain, Sky(site, [history.grid], {}))
    return FittedPhotovoltaics(
        roofs,
        _ceiling_kw(site, history, faults),
        agreement,
        left_out=faults.left_out(site, history.grid),
        is_unlike_weather=is_unlike_weather,
    )


def _fit_by_weather(site: Site, history: History) -> FittedPhotovoltaics | None:
    """None where the weather makes nothing better."""
    roofs, agreement, faults = _fit_without_faults(site, history, Sky(site, [history.grid], history.weather))
    conditions = conditions_of(site, history.grid, history.weather, roofs)
    usable = np.isfinite(history.values) & np.isfinite(conditions.expected_kw) & conditions.is_lit & ~faults.is_any
    chosen = thinned(usable)
    if chosen.size < FEWEST_CASES or not history.values[chosen].any():
        return None
    ceiling_kw = _ceiling_kw(site, history, faults)
    residual = learn_residual(
        Cases(
            history.values[chosen],
            solar_days(site, history.grid)[chosen],
            position_in_day(site, history.grid)[chosen],
            conditions.at(chosen),
            ceiling_kw,
        )
    )
    left_out = faults.left_out(site, history.grid)
    return None if residual is None else FittedPhotovoltaics(roofs, ceiling_kw, agreement, residual, left_out)


def _fit_without_faults(site: Site, history: History, sky: Sky) -> tuple[Roofs, float, Faults]:
    """Once with all, then without what the first fit shows to be faults or the inverters' limit."""
    roofs, agreement = fit_roofs(site, history)
    faults = find_faults(site, history.grid, history.values, roofs.output_kw(sky))
    misleading = faults.is_any | faults.at_limit
    if misleading.any():
        rest = History(history.grid, np.where(misleading, np.nan, history.values), history.weather)
        roofs, agreement = fit_roofs(site, rest)
        faults = find_faults(site, history.grid, history.values, roofs.output_kw(sky))
    return roofs, agreement, faults


def _ceiling_kw(site: Site, history: History, faults: Faults) -> float:
    if faults.limit_kw is not None:
        return faults.limit_kw
    return max(site.pv_capacity_kw, float(np.nanmax(history.values, initial=0.0)))

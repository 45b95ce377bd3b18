"""What is known of a plant, and the forecasts that it makes."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import ForecastTask, Prediction
from digital_twin.forecasting.forecaster import Arrays
from digital_twin.forecasting.orientation import Roofs, default_orientation
from digital_twin.forecasting.pv_calibration import at_levels
from digital_twin.forecasting.pv_clear_sky import as_seen, learned_cloudiness, usual_cloudiness
from digital_twin.forecasting.pv_conditions import Conditions, conditions_of
from digital_twin.forecasting.pv_faults import NOTHING, LeftOut
from digital_twin.forecasting.pv_residual import Residual, residual_from
from digital_twin.forecasting.solar import Sky, Weather, position_in_day

SMALLEST_AGREEMENT = 0.85
"""Correlation of cloudless moments with the clear sky: less, and the clock or the place is wrong."""

PRIOR_WEATHER_ERROR = ((0.0, 0.4), (0.5, 1.0), (1.0, 1.4))
"""Quantiles (level, share of what is expected) before a plant's own history tells how far the weather misses it."""

CONTEXT_HOURS = 24

Answer = tuple[Array, Array]
"""Mean (T,) and quantiles (T, Q)."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedPhotovoltaics:
    """What a history told of a plant; before there is enough of it, what is usual for its capacity."""

    roofs: Roofs
    ceiling_kw: float
    agreement: float | None = None
    """Correlation of physics with what was generated; None where nothing was learned."""
    residual: Residual | None = None
    """What was learned of the weather's error."""
    left_out: LeftOut = NOTHING
    is_unlike_weather: bool = False
    """Weather was given that makes nothing better."""

    def suits(self, task: ForecastTask) -> bool:
        return self.residual is None or _foresees_sun(task)

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        is_explained = self.agreement is None or self.residual is not None or self.agreement >= SMALLEST_AGREEMENT
        if not is_explained and task.history is not None:
            return as_seen(task.history, task.grid, levels)
        answer = self._by_weather if self._believes_weather(task) else self._by_clear_sky
        mean, quantiles = answer(task, levels)
        quantiles = np.sort(np.clip(quantiles, 0.0, self.ceiling_kw), axis=1)
        return Prediction(np.clip(mean, 0.0, self.ceiling_kw), quantiles, self._assumptions(task))

    def to_arrays(self) -> Arrays:
        learned = {} if self.residual is None else self.residual.to_arrays()
        return {
            **{f"roofs_{name}": getattr(self.roofs, name) for name in Roofs.__slots__},
            "ceiling_kw": np.array(self.ceiling_kw),
            "agreement": np.array(np.nan if self.agreement is None else self.agreement),
            "left_out": np.array([self.left_out.still_days, self.left_out.held_hours]),
            "is_unlike_weather": np.array(self.is_unlike_weather),
            **{f"residual_{name}": one for name, one in learned.items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "FittedPhotovoltaics":
        """What `to_arrays` gave, again."""
        agreement, (still_days, held_hours) = float(arrays["agreement"]), arrays["left_out"].tolist()
        learned = {name[9:]: one for name, one in arrays.items() if name.startswith("residual_")}
        return cls(
            Roofs(**{name: arrays[f"roofs_{name}"] for name in Roofs.__slots__}),
            float(arrays["ceiling_kw"]),
            None if np.isnan(agreement) else agreement,
            residual_from(learned) if learned else None,
            LeftOut(int(still_days), held_hours),
            bool(arrays["is_unlike_weather"]),
        )

    def _believes_weather(self, task: ForecastTask) -> bool:
        return _foresees_sun(task) and not self.is_unlike_weather

    def _by_weather(self, task: ForecastTask, levels: tuple[float, ...]) -> Answer:
        """By a clear sky where the weather has gaps."""
        conditions = _foreseen_conditions(task, self.roofs)
        mean, quantiles = np.zeros(task.grid.steps), np.zeros((task.grid.steps, len(levels)))
        lit, is_unknown = np.flatnonzero(conditions.is_lit), np.isnan(conditions.expected_kw)
        if self.residual is None:
            known_levels, shares = np.array(PRIOR_WEATHER_ERROR).T
            mean[lit] = conditions.expected_kw[lit]
            quantiles[lit] = np.outer(mean[lit], np.interp(levels, known_levels, shares))
        else:
            position = position_in_day(task.site, task.grid)[lit]
            mean[lit], learned = self.residual.predict(conditions.at(lit), position, self.ceiling_kw)
            quantiles[lit] = at_levels(learned, levels)
        if is_unknown.any():
            clear_mean, clear = self._by_clear_sky(task, levels)
            mean, quantiles = np.where(is_unknown, clear_mean, mean), np.where(is_unknown[:, None], clear, quantiles)
        return mean, quantiles

    def _by_clear_sky(self, task: ForecastTask, levels: tuple[float, ...]) -> Answer:
        clear_kw = self.roofs.output_kw(Sky(task.site, [task.grid], {}))
        if self.agreement is None or task.history is None:
            share, shares = usual_cloudiness(levels)
        else:
            share, shares = learned_cloudiness(task.site, task.history, self.roofs, task.grid, levels)
        return clear_kw * share, clear_kw[:, None] * shares

    def _assumptions(self, task: ForecastTask) -> tuple[str, ...]:
        told = [*self.left_out.told()]
        if self.is_unlike_weather:
            told.append("the weather given makes forecasts of this plant no better, and is not used")
        if self.agreement is None:
            facing = default_orientation(task.site)
            side = "south" if facing.azimuth_degrees == 180 else "north"
            kw = task.site.pv_capacity_kw
            told.append(f"generation is {kw:g} kW of PV at {facing.tilt_degrees:g} degrees facing {side}")
            if not self._believes_weather(task):
                told.append("clouds leave a typical share of the clear-sky generation")
        return tuple(told)


def _foresees_sun(task: ForecastTask) -> bool:
    return "ghi_wm2" in (task.future_weather or {})


def _foreseen_conditions(task: ForecastTask, roofs: Roofs) -> Conditions:
    """Of the intervals asked for, seen together with the day before where its weather is known."""
    future, history = task.future_weather or {}, task.history
    steps = CONTEXT_HOURS * 60 // task.grid.step_minutes
    if history is None or history.grid.end != task.grid.start or history.grid.steps < steps:
        return conditions_of(task.site, task.grid, future, roofs)
    if not future.keys() <= history.weather.keys():
        return conditions_of(task.site, task.grid, future, roofs)
    first = history.grid.instant(history.grid.steps - steps)
    weather: Weather = {name: np.concatenate([history.weather[name][-steps:], one]) for name, one in future.items()}
    whole = TimeGrid(first, steps + task.grid.steps, task.grid.step_minutes)
    return conditions_of(task.site, whole, weather, roofs).at(slice(steps, None))

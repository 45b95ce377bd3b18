"""Ridge regression of each slot of the day on lags, calendar and weather, with leave-one-out residual quantiles.

Fitted on one history it forecasts from any later one: the lags are new, the coefficients stay. Targets of each reach
have coefficients of their own, fitted on lags that reach as far back.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.conformal import adaptive_shifts
from digital_twin.forecasting.feature_inputs import (
    NEEDED_DAYS,
    enough_history,
    foreseen_weather,
    inputs_of,
    known_weather,
    question_of,
    reaches_asked,
)
from digital_twin.forecasting.features import FeatureDesign, design_features, lags_of, load_features
from digital_twin.forecasting.forecast import ForecastTask, Prediction
from digital_twin.forecasting.forecaster import BACK_DAYS, Arrays, TrainingTask
from digital_twin.forecasting.local_days import Reach
from digital_twin.forecasting.naive import residual_quantiles
from digital_twin.forecasting.slot_regression import FittedSlots, fit_slots, predict_slots

RESIDUAL_DAYS = 60
BACKTEST_DAYS = 28
REFIT_DAYS = 7
CALIBRATED_LEVELS = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.995)
"""Shifts are learned for these and interpolated between them."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedRidge:
    """What was learned from a history, by the reach of the targets."""

    design: FeatureDesign
    slots: Mapping[Reach, FittedSlots]
    shifts: Mapping[int, Array]  # (S, Q) of CALIBRATED_LEVELS; none for a plain ridge or after too few days

    def suits(self, task: ForecastTask) -> bool:
        """Whether its lags reach as far back, and it knows what weather does just where weather is foreseen."""
        if task.history is None:
            return False
        usable = known_weather(task.history) & foreseen_weather(task)
        used = frozenset(self.design.usual_weather)
        if not used <= usable or bool(used) != bool(usable):
            return False
        return reaches_asked(task, task.history) <= set(self.slots)

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        """Raises InsufficientData with less than three weeks of history."""
        return predict_ridge(self, task, levels)

    def to_arrays(self) -> Arrays:
        arrays: dict[str, np.ndarray[Any, Any]] = {
            **self.design.to_arrays(),
            "reach": np.array(list(self.slots), dtype=np.int64).reshape(-1, 2),
            "calibrated": np.array(list(self.shifts), dtype=np.int64),
            "shifts": np.stack(list(self.shifts.values())) if self.shifts else np.empty(0),
        }
        for name in _SLOT_ARRAYS:
            arrays[name] = np.stack([getattr(one, name) for one in self.slots.values()])
        return arrays


_SLOT_ARRAYS = ("center", "scale", "coefficients", "residuals")


@dataclass(frozen=True, slots=True)
class Ridge:
    """Calibrated, its quantiles are shifted by what a backtest over the last weeks, at most four, found missing."""

    is_calibrated: bool
    needed_days: float = NEEDED_DAYS

    def fit(self, task: TrainingTask) -> FittedRidge:
        """Raises InsufficientData with less than three weeks of history."""
        return fit_ridge(task, calibrated=_calibrated(task.back) if self.is_calibrated else ())

    def from_arrays(self, arrays: Arrays) -> FittedRidge:
        slots = {
            Reach(*pair): FittedSlots(*(arrays[name][place] for name in _SLOT_ARRAYS))
            for place, pair in enumerate(arrays["reach"].tolist())
        }
        shifts = {int(days): arrays["shifts"][place] for place, days in enumerate(arrays["calibrated"])}
        return FittedRidge(FeatureDesign.from_arrays(arrays), slots, shifts)


ridge = Ridge(is_calibrated=False)
calibrated_ridge = Ridge(is_calibrated=True)


def _calibrated(back: tuple[int, ...]) -> tuple[int, ...]:
    """For which of them a calibration pays: what is asked for far ahead is calibrated in its middle."""
    return back if len(back) <= len(BACK_DAYS) else (back[len(back) // 2],)


def fit_ridge(task: TrainingTask, *, calibrated: Collection[int]) -> FittedRidge:
    """Learn from a history and its weather, calibrated for lags of so many days back."""
    history = enough_history(task.history, "ridge")
    inputs = inputs_of(history, task.site, known_weather(history))
    design = design_features(inputs)
    slots: dict[Reach, FittedSlots] = {}
    shifts: dict[int, Array] = {}
    for reach in task.reaches:
        features = load_features(inputs, lags_of(inputs.table, reach, design.usual), design)
        fitted = fit_slots(features, inputs.table, until=inputs.table.shape[0])
        slots[reach] = replace(fitted, residuals=fitted.residuals[:, -RESIDUAL_DAYS:])
        if reach.whole == reach.back and reach.back in calibrated:
            learned = _backtested_shifts(features, inputs.table, reach.back)
            if learned is not None:
                shifts[reach.back] = learned
    return FittedRidge(design, slots, shifts)


def predict_ridge(fitted: FittedRidge, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """Forecast from the task's history with coefficients that were fitted on this or an earlier one."""
    asked = question_of(task, enough_history(task.history, "ridge"), fitted.design)
    mean = np.empty(task.grid.steps)
    quantiles = np.empty((task.grid.steps, len(levels)))
    for reach, chosen in asked.reaches:
        slots, slot = fitted.slots[reach], asked.slot[chosen]
        lags = lags_of(asked.inputs.table, reach, fitted.design.usual, first=asked.first)
        features = load_features(asked.inputs, lags, fitted.design)
        mean[chosen] = predict_slots(slots, features)[slot, asked.row[chosen]]
        quantiles[chosen] = mean[chosen, None] + residual_quantiles(slots.residuals.T, levels)[slot]
    if fitted.shifts:
        typical = sum(reach.back * chosen.mean() for reach, chosen in asked.reaches)
        nearest = min(fitted.shifts, key=lambda days: abs(days - typical))
        quantiles += _at_levels(fitted.shifts[nearest], levels)[asked.slot]
    return Prediction(mean, np.sort(quantiles, axis=1))


def _backtested_shifts(features: Array, table: Array, days: int) -> Array | None:
    """What the quantiles of the last weeks lacked; None after too few days."""  # (S, Q)
    last = table.shape[0]
    first = max(last - BACKTEST_DAYS, int(NEEDED_DAYS) + days - 1)
    if last - first < REFIT_DAYS:
        return None
    predicted: list[Array] = []
    for start in range(first, last, REFIT_DAYS):
        # the refit knows what a forecast issued `days` before its first day knew
        fitted = fit_slots(features, table, until=start - days + 1)
        part = predict_slots(fitted, features[:, start : min(start + REFIT_DAYS, last)])
        quantiles = residual_quantiles(fitted.residuals[:, -RESIDUAL_DAYS:].T, CALIBRATED_LEVELS)
        predicted.append(part.T[:, :, None] + quantiles[None])
    return adaptive_shifts(table[first:last], np.concatenate(predicted), CALIBRATED_LEVELS)


def _at_levels(shifts: Array, levels: tuple[float, ...]) -> Array:
    """Shifts of other levels, linear between those that were learned."""  # (S, Q)
    share = [np.interp(levels, CALIBRATED_LEVELS, one) for one in np.eye(len(CALIBRATED_LEVELS))]
    return shifts @ np.array(share)

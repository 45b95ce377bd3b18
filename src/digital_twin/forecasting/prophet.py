"""Prophet with weather and holidays, corrected by what it missed lately.

Prophet explains a load by time alone: a trend that bends, the day, the week, and the weather of each hour. What it
missed on the latest days goes on, in part, and is carried over; the errors of that rule on past days are its quantiles.

Source: Taylor and Letham (2018), Forecasting at scale, The American Statistician 72(1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.feature_inputs import (
    NEEDED_DAYS,
    enough_history,
    foreseen_weather,
    inputs_of,
    known_weather,
    question_of,
    reaches_asked,
)
from digital_twin.forecasting.features import (
    WEEK,
    FeatureDesign,
    design_features,
    lag,
    latest_day_mean,
    trailing_mean,
)
from digital_twin.forecasting.forecast import ForecastTask, Prediction
from digital_twin.forecasting.forecaster import Arrays, TrainingTask, last_days
from digital_twin.forecasting.naive import residual_quantiles
from digital_twin.forecasting.prophet_curve import Curve, fit_curve

LEARNED_DAYS = 120
"""Older days say little of a level that wanders, and cost time."""

HELD_OUT_DAYS = 28
"""At most a third of the days tell how errors go on, by a curve that has not seen them."""

PENALTY_SHARE = 0.05
"""Of the spread of what is carried over, so that little of it is where there is little to carry."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedProphet:
    """The curve, and for each number of days that lags go back: how much of an error goes on, and what is left."""

    design: FeatureDesign
    curve: Curve
    carried: Mapping[int, Array]  # each (3,)
    errors: Mapping[int, Array]  # each (R, S) NaN where unknown

    def suits(self, task: ForecastTask) -> bool:
        """Whether its lags reach as far back, and its weather is foreseen."""
        if task.history is None or not frozenset(self.design.usual_weather) <= foreseen_weather(task):
            return False
        return {reach.back for reach in reaches_asked(task, task.history)} <= set(self.carried)

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        """Raises InsufficientData with less than three weeks of history."""
        asked = question_of(task, enough_history(task.history, "prophet"), self.design)
        since = max(0, asked.first - 2 * WEEK - max(self.carried))
        curve = self.curve.of(asked.inputs, self.design.knots, first=since)
        missed = asked.inputs.table[since:] - curve
        mean = np.empty(task.grid.steps)
        quantiles = np.empty((task.grid.steps, len(levels)))
        for back in {reach.back for reach, _ in asked.reaches}:
            chosen = np.any([mask for reach, mask in asked.reaches if reach.back == back], axis=0)
            row, slot = asked.row[chosen] + asked.first - since, asked.slot[chosen]
            ahead = curve + latest_errors(missed, back) @ self.carried[back]
            errors = self.errors[back]
            usual = residual_quantiles(errors, levels)[slot]
            mean[chosen] = ahead[row, slot]
            quantiles[chosen] = ahead[row, slot][:, None] + usual
        return Prediction(mean, np.sort(quantiles, axis=1))

    def to_arrays(self) -> Arrays:
        return {
            **self.design.to_arrays(),
            **self.curve.to_arrays(),
            "back": np.array(list(self.carried), dtype=np.int64),
            "carried": np.stack(list(self.carried.values())),
            "errors": np.stack(list(self.errors.values())),
        }


@dataclass(frozen=True, slots=True)
class Prophet:
    """How the curve is learned, and what is made of its errors."""

    needed_days: float = NEEDED_DAYS

    def fit(self, task: TrainingTask) -> FittedProphet:
        """Raises InsufficientData with less than three weeks of history."""
        history = last_days(enough_history(task.history, "prophet"), LEARNED_DAYS)
        inputs = inputs_of(history, task.site, known_weather(history))
        design = design_features(inputs)
        days = inputs.table.shape[0]
        first = days - min(HELD_OUT_DAYS, days // 3)
        # what a curve misses on days that it was fitted on says little of how long errors last
        early = fit_curve(
            replace(inputs, table=np.where(np.arange(days)[:, None] < first, inputs.table, np.nan)), design.knots
        )
        missed = inputs.table - early.of(inputs, design.knots)
        carried: dict[int, Array] = {}
        errors: dict[int, Array] = {}
        for back in task.back:
            latest = latest_errors(missed, back)
            carried[back] = _share_that_goes_on(missed[first:], latest[first:])
            errors[back] = (missed - latest @ carried[back])[first:]
        return FittedProphet(design, fit_curve(inputs, design.knots), carried, errors)

    def from_arrays(self, arrays: Arrays) -> FittedProphet:
        back = arrays["back"].tolist()
        return FittedProphet(
            FeatureDesign.from_arrays(arrays),
            Curve.from_arrays(arrays),
            dict(zip(back, arrays["carried"], strict=True)),
            dict(zip(back, arrays["errors"], strict=True)),
        )


prophet = Prophet()


def latest_errors(missed: Array, back: int) -> Array:
    """What was missed in the slot lately and over a week, and over the latest day; 0 where that is not known."""
    latest = [lag(missed, back), lag(trailing_mean(missed, WEEK), back), latest_day_mean(missed, back)]
    return np.nan_to_num(np.stack(latest, axis=-1))  # (D, S, 3)


def _share_that_goes_on(missed: Array, latest: Array) -> Array:
    """By least squares over all cells that are known; an error may vanish but does not turn round."""  # (3,)
    from scipy.optimize import nnls

    known = np.isfinite(missed)
    rows, target = latest[known], missed[known]
    root = np.sqrt(PENALTY_SHARE * (rows**2).sum() / 3 + 1e-9)
    shares, _ = nnls(np.vstack([rows, root * np.eye(3)]), np.concatenate([target, np.zeros(3)]))
    return shares

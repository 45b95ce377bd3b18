"""Gradient boosting of quantiles: trees learn what the ridge regression of a slot leaves unexplained.

They are told what the ridge says, how the latest days differ from their month, the calendar and the weather; the same
trees serve all slots and reaches. Errors are measured in spreads of the latest month, so that growth and seasons are
followed.

Source: quantile loss, Koenker and Bassett (1978); boosted trees, Ke et al. (2017), LightGBM.
"""

from dataclasses import dataclass, replace
from statistics import NormalDist

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
from digital_twin.forecasting.features import FeatureInputs, Lags, design_features, lags_of, load_features
from digital_twin.forecasting.forecast import ForecastTask, Prediction
from digital_twin.forecasting.forecaster import Arrays, TrainingTask
from digital_twin.forecasting.local_days import Indices, Reach
from digital_twin.forecasting.regression import FittedRidge, ridge
from digital_twin.forecasting.slot_regression import FittedSlots, fit_slots, predict_slots
from digital_twin.forecasting.tree_features import month_spread, tree_features
from digital_twin.forecasting.trees import Trees, read_trees

LEARNED_LEVELS = (0.025, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.975)
"""Other levels lie between these, and on their line beyond, on the scale of a normal distribution."""

ROUNDS = 100
PARAMETERS = {
    "objective": "quantile",
    "num_leaves": 8,
    "min_data_in_leaf": 20,
    "learning_rate": 0.08,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "feature_fraction": 0.3,
    "extra_trees": True,
    "max_bin": 63,
    "num_threads": 1,
    "seed": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbose": -1,
}
FIRST_DAY = 7
"""Before it there are too few days to compare the latest with."""

MOST_ROWS = 12_000
OTHER_REACHES = 10
"""Of reaches other than the shortest one day in so many is learned from."""

LEAST_SPREAD = 0.1
"""Of the spread of the whole history: what is steady for a month may move again."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedBoosting:
    """The ridge regression and the trees that were grown on its errors."""

    ridge: FittedRidge
    trees: Trees
    least_spread: float

    def suits(self, task: ForecastTask) -> bool:
        """Whether its lags reach as far back, and its weather is foreseen."""
        if task.history is None or not frozenset(self.ridge.design.usual_weather) <= foreseen_weather(task):
            return False
        return reaches_asked(task, task.history) <= set(self.ridge.slots)

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        """Raises InsufficientData with less than three weeks of history."""
        asked = question_of(task, enough_history(task.history, "boosting"), self.ridge.design)
        base, spread = np.empty(task.grid.steps), np.empty(task.grid.steps)
        errors = np.empty((task.grid.steps, len(LEARNED_LEVELS)))
        for reach, chosen in asked.reaches:
            lags = lags_of(asked.inputs.table, reach, self.ridge.design.usual, first=asked.first)
            features = load_features(asked.inputs, lags, self.ridge.design)
            of_slots = predict_slots(self.ridge.slots[reach], features).T  # (D, S)
            of_days = month_spread(asked.inputs.table, reach.whole, self.least_spread)[asked.first :]
            told = tree_features(asked.inputs, lags, reach, of_days)
            row, slot = asked.row[chosen], asked.slot[chosen]
            base[chosen], spread[chosen] = of_slots[row, slot], of_days[row]
            own = base[chosen] / spread[chosen]
            errors[chosen] = self.trees.predict(np.column_stack([told[row, slot], own]))
        errors.sort(axis=1)
        mean = base + spread * (errors @ _MEAN_OF_LEVELS)
        quantiles = base[:, None] + spread[:, None] * (errors @ between_levels(levels))
        return Prediction(mean, np.sort(quantiles, axis=1))

    def to_arrays(self) -> Arrays:
        parts = {**self.trees.to_arrays(), "least_spread": np.array(self.least_spread)}
        return parts | {_RIDGE + name: one for name, one in self.ridge.to_arrays().items()}


_RIDGE = "ridge "


@dataclass(frozen=True, slots=True)
class Boosting:
    """How the trees are grown."""

    needed_days: float = NEEDED_DAYS

    def fit(self, task: TrainingTask) -> FittedBoosting:
        """Raises InsufficientData with less than three weeks of history."""
        history = enough_history(task.history, "boosting")
        inputs = inputs_of(history, task.site, known_weather(history))
        design = design_features(inputs)
        least_spread = LEAST_SPREAD * float(np.nanstd(inputs.table)) or 1.0
        slots: dict[Reach, FittedSlots] = {}
        rows: list[Array] = []
        errors: list[Array] = []
        for reach in task.reaches:
            lags = lags_of(inputs.table, reach, design.usual)
            fitted = fit_slots(load_features(inputs, lags, design), inputs.table, until=inputs.table.shape[0])
            slots[reach] = replace(fitted, residuals=fitted.residuals[:, :0])
            days = np.arange(FIRST_DAY, inputs.table.shape[0], OTHER_REACHES if rows else 1)
            of_reach = _rows(inputs, (lags, reach), fitted.residuals.T, least_spread, days)
            rows.append(of_reach[0])
            errors.append(of_reach[1])
        trees = _grow(np.concatenate(rows), np.concatenate(errors))
        return FittedBoosting(FittedRidge(design, slots, {}), trees, least_spread)

    def from_arrays(self, arrays: Arrays) -> FittedBoosting:
        of_ridge = {name.removeprefix(_RIDGE): one for name, one in arrays.items() if name.startswith(_RIDGE)}
        return FittedBoosting(ridge.from_arrays(of_ridge), Trees.from_arrays(arrays), float(arrays["least_spread"]))


boosting = Boosting()


def _rows(
    inputs: FeatureInputs, known: tuple[Lags, Reach], error: Array, least_spread: float, days: Indices
) -> tuple[Array, Array]:
    """What trees see of these days' cells, and by how many spreads the ridge missed them."""  # (N, K), (N,)
    lags, reach = known
    spread = month_spread(inputs.table, reach.whole, least_spread)
    told = tree_features(inputs, lags, reach, spread)[days]
    own = (inputs.table - error)[days] / spread[days, None]
    missed = error[days] / spread[days, None]
    is_told = np.isfinite(missed)
    return np.column_stack([told[is_told], own[is_told]]), missed[is_told]


def _grow(rows: Array, errors: Array) -> Trees:
    """One sum of trees for each learned level, on as many rows as time allows."""
    import lightgbm

    if errors.size > MOST_ROWS:
        kept = np.sort(np.random.default_rng(0).choice(errors.size, MOST_ROWS, replace=False))
        rows, errors = rows[kept], errors[kept]
    data = lightgbm.Dataset(rows, errors, params=PARAMETERS, free_raw_data=False).construct()
    grown = [lightgbm.train(PARAMETERS | {"alpha": level}, data, num_boost_round=ROUNDS) for level in LEARNED_LEVELS]
    return read_trees([one.model_to_string() for one in grown])


def between_levels(levels: tuple[float, ...]) -> Array:
    """The weights of the learned levels in others: linear in the quantiles of a normal distribution."""  # (L, Q)
    normal = NormalDist().inv_cdf
    learned, wanted = np.array([normal(one) for one in LEARNED_LEVELS]), np.array([normal(one) for one in levels])
    upper = np.clip(np.searchsorted(learned, wanted), 1, learned.size - 1)
    share = (wanted - learned[upper - 1]) / (learned[upper] - learned[upper - 1])
    weights = np.zeros((learned.size, wanted.size))
    column = np.arange(wanted.size)
    weights[upper - 1, column], weights[upper, column] = 1 - share, share
    return weights


_MEAN_OF_LEVELS = between_levels(tuple((np.arange(20) + 0.5) / 20)).mean(axis=1)
"""The mean of a distribution by its learned quantiles."""

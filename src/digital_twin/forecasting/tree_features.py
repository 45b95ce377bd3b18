"""What trees are told of a target: how the latest days differ from their month, in spreads of that month."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.features import MONTH, FeatureInputs, Lags, lag, season_of, trailing_cells_mean
from digital_twin.forecasting.local_days import Reach


def month_spread(table: Array, whole: int, least: float) -> Array:
    """The standard deviation over the month up to the latest whole day, at least `least`."""  # (D,)
    last = np.s_[:, -1:]
    cells = MONTH * table.shape[1]
    mean, square = (trailing_cells_mean(one, cells)[last] for one in (table, table**2))
    variance = lag(square, whole)[:, 0] - lag(mean, whole)[:, 0] ** 2
    known = np.isfinite(variance)
    return np.maximum(np.sqrt(np.maximum(np.where(known, variance, least**2), 0.0)), least)


def tree_features(inputs: FeatureInputs, lags: Lags, reach: Reach, spread: Array) -> Array:
    """One row for each cell that the lags are of.

    Args:
        spread: of the days of these.  # (D,)
    """  # -> (D, S, K)
    first, shape = lags.first, lags.day_mean.shape
    month = lags.of_slot["month"]
    level = lags.month_blocks.mean(axis=1)
    relative = [one - month for name, one in lags.of_slot.items() if name != "month"]
    relative += [lags.day_mean - level[:, None], month - level[:, None]]
    of_days = [lags.last_hour - level, lags.week_mean - level, level, *(lags.blocks - lags.month_blocks).T]
    calendar = [one[first:] for one in (inputs.weekday, inputs.holiday, *season_of(inputs))]
    columns = [one / spread[:, None] for one in relative]
    columns += [np.broadcast_to(one[:, None], shape) for one in (*(one / spread for one in of_days), *calendar)]
    columns += [np.broadcast_to(np.arange(shape[1]), shape), *(np.full(shape, days) for days in reach)]
    for table in inputs.weather.values():
        before = lag(table, reach.back)
        change = table - np.where(np.isfinite(before), before, table)
        columns += [one[first:] for one in (table, change, trailing_cells_mean(table, shape[1]))]
    return np.stack(columns, axis=-1, dtype=np.float64)

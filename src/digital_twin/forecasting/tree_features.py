"""What trees are told of a target: how the latest days differ from their month, in spreads of that month."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.features import (
    MONTH,
    FeatureDesign,
    FeatureInputs,
    day_levels,
    day_shape,
    lag,
    month_shape,
    season_of,
    slot_lags,
    trailing_cells_mean,
)
from digital_twin.forecasting.local_days import Reach


def month_spread(table: Array, whole: int, least: float) -> Array:
    """The standard deviation over the month up to the latest whole day, at least `least`."""  # (D,)
    last = np.s_[:, -1:]
    cells = MONTH * table.shape[1]
    mean, square = (trailing_cells_mean(one, cells)[last] for one in (table, table**2))
    variance = lag(square, whole)[:, 0] - lag(mean, whole)[:, 0] ** 2
    known = np.isfinite(variance)
    return np.maximum(np.sqrt(np.maximum(np.where(known, variance, least**2), 0.0)), least)


def tree_features(
    inputs: FeatureInputs, reach: Reach, design: FeatureDesign, spread: Array, *, first: int = 0
) -> Array:
    """One row for each cell from the day `first` on.

    Args:
        spread: of all days of the table.  # (D,)
    """  # -> (D, S, K)
    spread = spread[first:]
    shape = (inputs.table.shape[0] - first, inputs.table.shape[1])
    lags = {name: one[first:] for name, one in slot_lags(inputs.table, reach.back, design.usual).items()}
    month = lags.pop("month")
    blocks, blocks_of_month = (one(inputs.table, reach.whole, design.usual)[first:] for one in (day_shape, month_shape))
    level = blocks_of_month.mean(axis=1)[:, None]
    relative = [one - month for one in lags.values()]
    relative += [one[first:] - level for one in day_levels(inputs.table, reach, design.usual)]
    relative.append(month - level)
    columns = [one / spread[:, None] for one in relative]
    of_days = [*((blocks - blocks_of_month) / spread[:, None]).T, level[:, 0] / spread]
    of_days += [one[first:].astype(np.float64) for one in (inputs.weekday, inputs.holiday, *season_of(inputs))]
    columns += [np.broadcast_to(one[:, None], shape) for one in of_days]
    columns.append(np.broadcast_to(np.arange(float(shape[1])), shape))
    columns += [np.full(shape, float(days)) for days in reach]
    for table in inputs.weather.values():
        before = lag(table, reach.back)
        change = table - np.where(np.isfinite(before), before, table)
        columns += [one[first:] for one in (table, change, trailing_cells_mean(table, table.shape[1]))]
    return np.stack(columns, axis=-1)

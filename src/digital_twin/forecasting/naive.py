"""Seasonal naive: as a week before at the same time of day; the yardstick of every other model."""

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import ForecastTask, Prediction
from digital_twin.forecasting.forecaster import Rule
from digital_twin.forecasting.local_days import days_back, local_days_of

NEEDED_DAYS = 2.0
KEPT_DAYS = 56
WEEK = 7
FEWEST_RESIDUALS = 10


def predict_as_last_week(task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
    """The same slot of the latest known same weekday, or of yesterday while there is less than two weeks.

    Its uncertainty is that of the same rule over the last eight weeks, slot by slot.

    Raises:
        InsufficientData: less than two days of history.
    """
    history = task.history
    if history is None or history.days < NEEDED_DAYS:
        found = 0.0 if history is None else history.days
        raise InsufficientData(
            f"seasonal_naive needs {NEEDED_DAYS:g} days of readings, found {found:.1f}", needed=NEEDED_DAYS, found=found
        )
    local, targets = local_days_of(task, history)
    season = WEEK if history.days >= 2 * WEEK else 1
    back = -(-days_back(targets, local.last_known) // season) * season
    rows = targets.day - local.first_day
    typical = _typical_day(local.table)
    base = np.empty(task.grid.steps)
    quantiles = np.empty((task.grid.steps, len(levels)))
    for days in np.unique(back):
        chosen = back == days
        filled = np.where(np.isnan(local.table), typical, local.table)
        earlier = rows[chosen] - days
        inside = earlier >= 0
        base[chosen] = np.where(
            inside, filled[np.maximum(earlier, 0), targets.slot[chosen]], typical[targets.slot[chosen]]
        )
        errors = _errors(local.table, int(days))
        quantiles[chosen] = base[chosen, None] + residual_quantiles(errors, levels)[targets.slot[chosen]]
    mean_error = np.nan_to_num(np.nanmean(_errors(local.table, int(season)))) if rows.size else 0.0
    return Prediction(base + mean_error, np.sort(quantiles, axis=1))


def _typical_day(table: Array) -> Array:
    """The mean of each slot, filled from its neighbours where a slot was never seen."""  # (S,)
    known = np.isfinite(table)
    total = np.where(known, table, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    overall = total.sum() / max(1, count.sum())
    return np.divide(total, count, out=np.full(total.shape, overall), where=count > 0)


def _errors(table: Array, days: int) -> Array:
    """What the rule would have missed by, over the last weeks."""  # (D, S)
    if table.shape[0] <= days:
        return np.full((1, table.shape[1]), np.nan)
    return (table[days:] - table[:-days])[-KEPT_DAYS:]


def residual_quantiles(residuals: Array, levels: tuple[float, ...]) -> Array:
    """Quantiles of the residuals of each slot and its neighbours within an hour; pooled over the day where scarce.

    Args:
        residuals: by day and slot, NaN where unknown.  # (D, S)
    """  # -> (S, Q)
    slots = residuals.shape[1]
    reach = max(1, slots // 24)
    around = (np.arange(slots)[:, None] + np.arange(-reach, reach + 1)) % slots
    pooled = residuals[:, around].transpose(1, 0, 2).reshape(slots, -1)
    scarce = np.isfinite(pooled).sum(axis=1) < FEWEST_RESIDUALS
    if not scarce.any():
        return _quantiles_of_rows(pooled, levels)
    everything = residuals[np.isfinite(residuals)]
    if not everything.size:
        return np.zeros((slots, len(levels)))
    result = np.empty((slots, len(levels)))
    result[scarce] = np.quantile(everything, levels)
    if not scarce.all():
        result[~scarce] = _quantiles_of_rows(pooled[~scarce], levels)
    return result


def _quantiles_of_rows(values: Array, levels: tuple[float, ...]) -> Array:
    """As `np.nanquantile` along the last axis, for all rows at once; each has at least one value."""  # (S, Q)
    ascending = np.sort(values, axis=1)
    last = np.isfinite(values).sum(axis=1)[:, None] - 1
    place = np.asarray(levels) * last
    below = place.astype(np.int64)
    low = np.take_along_axis(ascending, below, axis=1)
    high = np.take_along_axis(ascending, np.minimum(below + 1, last), axis=1)
    return low + (place - below) * (high - low)


seasonal_naive = Rule(predict_as_last_week, NEEDED_DAYS)

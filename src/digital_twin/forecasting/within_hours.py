"""From hours to finer steps: along the line from hour to hour, and as much less certain as steps scatter around it."""

from statistics import NormalDist

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import History
from digital_twin.forecasting.local_days import cells_of
from digital_twin.forecasting.lstm_inputs import DAYS, HOURS, mean_at
from digital_twin.forecasting.lstm_network import LEVELS, MEDIAN

LOW, HIGH = LEVELS.index(0.1), LEVELS.index(0.9)
NORMAL_WIDTH = 2 * NormalDist().inv_cdf(0.9)
TINY = 1e-12


def days_of_late(history: History, zone: str) -> Array:
    """The last four weeks by local day and step."""  # (D, S)
    cells = cells_of(history.grid, zone)
    first_day = max(int(cells.day[0]), int(cells.day[-1]) - DAYS + 1)
    late = cells.day >= first_day
    place = (cells.day[late] - first_day) * cells.slots + cells.slot[late]
    days = int(cells.day[-1]) - first_day + 1
    return mean_at(place, history.values[late], days * cells.slots).reshape(days, cells.slots)


def quantiles_within_hours(hourly: Array, table: Array, first_hour: int) -> Array:
    """Quantiles of finer steps from those of the hours, and from the days of late in those steps.

    Args:
        hourly: of hours in a row.  # (H, Q)
        table: by day and step, NaN where unknown.  # (D, S)
        first_hour: which hour of the day the first one is.
    """  # -> (H S / 24, Q)
    days, slots = table.shape
    parts = slots // HOURS
    of_hours = mean_at(np.arange(table.size) // parts, table.ravel(), days * HOURS)[:, None]
    off = table - _line(of_hours, parts).reshape(days, slots)
    typical = _mean_of_known(off)
    scatter = np.sqrt(_mean_of_known((off - typical) ** 2).reshape(HOURS, parts).mean(axis=1))
    slot = (first_hour * parts + np.arange(hourly.shape[0] * parts)) % slots
    line = _line(hourly, parts)
    median = line[:, MEDIAN : MEDIAN + 1]
    width = (line[:, HIGH] - line[:, LOW]) / NORMAL_WIDTH + TINY
    wider = np.sqrt(1 + (scatter[slot // parts] / width) ** 2)
    return np.sort(median + typical[slot, None] + (line - median) * wider[:, None], axis=1)


def _line(hourly: Array, parts: int) -> Array:
    """Straight from the middle of each hour to that of the next, moved so that every hour keeps its mean."""
    place = (np.arange(parts) + 0.5) / parts - 0.5
    before, after = np.maximum(-place, 0)[:, None], np.maximum(place, 0)[:, None]
    padded = np.concatenate([hourly[:1], hourly, hourly[-1:]])
    to_before, to_after = (padded[:-2] - hourly)[:, None], (padded[2:] - hourly)[:, None]
    bent = to_before * (before - before.mean()) + to_after * (after - after.mean())
    return (hourly[:, None] + bent).reshape(-1, hourly.shape[1])


def _mean_of_known(table: Array) -> Array:
    """By step of the day; 0 where nothing is known."""
    known = np.isfinite(table)
    return np.where(known, table, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)

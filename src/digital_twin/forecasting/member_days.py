"""What each of many members is expected to do: the mean of their own like days, for all of them in one product.

A single home's day is mostly chance: what is most like it is not the last Monday but many days together. Days count
the more the nearer and the more alike they are.
"""

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.local_days import Cells, cells_of

HISTORY_DAYS = 28
FEWEST_DAYS = 2.0
"""Of readings; who has fewer counts as unknown."""

HALF_LIFE_DAYS = 14.0
SAME_WEEKDAY, SAME_KIND, OTHER_KIND = 1.0, 0.5, 0.1
"""What a day counts: of the same weekday; a working day for another, or a day of the weekend; one of the other kind."""

_NEGLIGIBLE = 0.01
"""Part of the mean sum: below it members' own courses say nothing of who has how much of the community's."""


def expected_of_members(history: Array, past: TimeGrid, grid: TimeGrid, zone: str) -> Array:
    """The mean of each member's like days; a row of NaN for who has too few readings.

    Args:
        history: of each member on the grid of the past, of the same steps as `grid`; NaN where unknown.  # (N, P)
    """  # (N, T)
    was, comes = cells_of(past, zone), cells_of(grid, zone)
    first, days = int(was.day[0]), int(was.day[-1] - was.day[0]) + 1
    table = _by_day(history, was, first, days)
    known = np.isfinite(table)
    wanted, row = np.unique(comes.day, return_inverse=True)
    weight = _alike(wanted, first + np.arange(days))  # (D', D)
    total = weight @ np.where(known, table, 0.0)
    share = weight @ known
    overall = _mean_of(history)
    by_slot = np.divide(total, share, out=np.broadcast_to(overall[:, None, None], total.shape).copy(), where=share > 0)
    expected: Array = by_slot[:, row, comes.slot]
    expected[np.isfinite(history).sum(axis=1) * past.step_hours < 24 * FEWEST_DAYS] = np.nan
    return expected


def _by_day(history: Array, cells: Cells, first_day: int, days: int) -> Array:
    """By local day and slot; one that a 25-hour day has twice holds the mean of what is known of both."""  # (N, D, S)
    table = np.full((history.shape[0], days, cells.slots), np.nan)
    day, slot = cells.day - first_day, cells.slot
    is_again = np.ones(day.size, dtype=np.bool_)
    is_again[np.unique(day * cells.slots + slot, return_index=True)[1]] = False
    table[:, day[~is_again], slot[~is_again]] = history[:, ~is_again]
    if is_again.any():
        once, twice = table[:, day[is_again], slot[is_again]], history[:, is_again]
        both = np.where(np.isnan(twice), once, (once + twice) / 2)
        table[:, day[is_again], slot[is_again]] = np.where(np.isnan(once), twice, both)
    return table


def shared_out(expected: Array, total: Array) -> Array:
    """The community's course, to each member by what is expected of them; so that all together agree with it.

    Where nobody is expected to have anything, by what they have over the whole span.

    Args:
        expected: at least 0.  # (N, T)
        total: at least 0.  # (T,)
    """  # (N, T)
    together = expected.sum(axis=0)
    energy = expected.sum(axis=1)
    if not energy.any():
        return np.broadcast_to(total / max(1, expected.shape[0]), expected.shape).copy()
    tells = together > _NEGLIGIBLE * together.mean()
    part = np.divide(expected, together, out=np.zeros_like(expected), where=tells)
    return np.where(tells, part, energy[:, None] / energy.sum()) * total


def in_balance(drawn: Array, fed_in: Array, net: Array) -> tuple[Array, Array]:
    """What members draw, times a factor, and what they feed in, over the same factor: the sum is this net course.

    The factor x of each interval solves D x - F / x = N. Where nothing is drawn, or nothing is fed in, a net course of
    the other sign cannot be met: the sum is then 0.
    """  # (N, T) each
    together, out = drawn.sum(axis=0), fed_in.sum(axis=0)
    larger = (np.abs(net) + np.sqrt(net**2 + 4 * together * out)) / 2  # the root without cancellation
    smaller = together * _over(out, larger)
    wanted_in, wanted_out = np.where(net >= 0, larger, smaller), np.where(net >= 0, smaller, larger)
    return drawn * _over(wanted_in, together), fed_in * _over(wanted_out, out)


def _over(above: Array, below: Array) -> Array:
    """0 where nothing stands below."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _alike(wanted: NDArray[np.int64], past: NDArray[np.int64]) -> Array:
    """How much each past day counts for each wanted one, both days since 1970."""  # (D', D)
    weekday, past_weekday = (wanted + 3) % 7, (past + 3) % 7  # 1970 began on a Thursday; Monday is 0
    same = weekday[:, None] == past_weekday
    kind = (weekday >= 5)[:, None] == (past_weekday >= 5)
    age = np.maximum(wanted[:, None] - past, 0)
    alike = np.where(same, SAME_WEEKDAY, np.where(kind, SAME_KIND, OTHER_KIND))
    return alike * 0.5 ** (age / HALF_LIFE_DAYS)


def _mean_of(history: Array) -> Array:
    known = np.isfinite(history)
    return np.where(known, history, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)

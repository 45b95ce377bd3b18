"""How much to trust each member of an ensemble, told by the recent past.

Averaging the members' quantiles level by level keeps the shape of a distribution, which averaging probabilities would
widen. To begin with, a member that loses more than the best one counts less, by a power of the ratio. From there the
weights move downhill on the loss of the average itself, which also knows whose errors cancel whose, but are held back
where the days do not say enough. What holds for the whole day is where each part of it begins.

Source: quantile averaging, Lichtendahl, Grushka-Cockayne and Winkler (2013); exponentiated gradient, Kivinen and
Warmuth (1997); weights by inverse past losses, Bates and Granger (1969), The combination of forecasts.
"""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.conformal import DAY_PARTS, day_parts
from digital_twin.forecasting.local_days import Indices
from digital_twin.forecasting.scores import pinball_losses

HALF_LIFE_DAYS = 14.0
POWER = 6.0
STEPS, FIRST_STEP, SLOWER_AFTER = 30, 2.0, 5
LARGEST_MOVE = 3.0
HOLD, HOLD_OF_PART = 0.1, 0.5
"""Relative loss that a doubling (e-fold) of a weight must save: against the start, against the whole day."""

TAIL = 0.2
GROUPS = ("low", "middle", "high")
FEWEST_DAYS = 3
SLOTS_USED = 24
_SMALLEST = 1e-12


def level_groups(levels: tuple[float, ...]) -> Indices:
    """Which of the GROUPS each level belongs to."""  # (Q,)
    promised = np.asarray(levels)
    return (promised > TAIL + 1e-9).astype(np.int64) + (promised > 1 - TAIL - 1e-9)


def learn_weights(actual: Array, members: Array, levels: tuple[float, ...]) -> Array:
    """The members' weights by part of the day and group of levels; equal ones while there are too few days.

    Args:
        actual: what happened, NaN where unknown.  # (D, S)
        members: what each forecast, NaN for days on which one did not.  # (M, D, S, Q)
    """  # -> (P, G, M)
    every = slice(None, None, max(1, actual.shape[1] // SLOTS_USED))
    actual, members = actual[:, every], members[:, :, every]
    number, days, slots, _ = members.shape
    weights = np.full((DAY_PARTS, len(GROUPS), number), 1 / number)
    known = np.isfinite(actual) & np.isfinite(members).all(axis=(0, 3))  # (D, S)
    if number == 1 or known.any(axis=1).sum() < FEWEST_DAYS:
        return weights
    recency = np.broadcast_to(0.5 ** (np.arange(days)[::-1] / HALF_LIFE_DAYS)[:, None], known.shape)[known]
    part_of = np.broadcast_to(day_parts(slots), known.shape)[known]
    actual, members = actual[known], members[:, known]
    of_level = level_groups(levels)
    for group in range(len(GROUPS)):
        chosen = of_level == group
        some, promised = members[:, :, chosen], tuple(np.asarray(levels)[chosen])
        start = _by_loss(actual, some, recency, promised)
        of_day = _descend(actual, some, recency, promised, start=start, hold=HOLD)
        for part in range(DAY_PARTS):
            now = part_of == part
            weights[part, group] = _descend(
                actual[now], some[:, now], recency[now], promised, start=of_day, hold=HOLD_OF_PART
            )
    return weights


def combine(members: Array, weights: Array, parts: Indices, levels: tuple[float, ...]) -> Array:
    """The weighted averages of the members' quantiles, level by level.

    Args:
        members: (M, ..., T, Q)
        parts: the part of the day of each row.  # (T,)
    """  # -> (..., T, Q)
    of_row = weights[parts][:, level_groups(levels)]  # (T, Q, M)
    return np.einsum("m...tq,tqm->...tq", members, of_row)


def _by_loss(actual: Array, members: Array, counted: Array, levels: tuple[float, ...]) -> Array:
    """Weights by a power of the mean loss; equal where nobody lost anything."""  # (M,)
    loss = np.einsum("n,mnq->m", counted, pinball_losses(actual, members, levels)) / counted.sum() + _SMALLEST
    weight = (loss.min() / loss) ** POWER
    return weight / weight.sum()


def _descend(
    actual: Array, members: Array, counted: Array, levels: tuple[float, ...], *, start: Array, hold: float
) -> Array:
    """The start moved towards the least loss of the average.

    Args:
        actual: (N,)
        members: (M, N, Q)
        counted: how much each cell counts.  # (N,)
    """  # -> (M,)
    promised = np.asarray(levels)
    average = np.tensordot(start, members, 1)
    lost = float(np.einsum("n,nq->", counted, pinball_losses(actual, average, levels)))
    if lost <= _SMALLEST:
        return start
    apart = members - average
    weight, total = start, np.zeros_like(start)
    for step in range(STEPS):
        slope = ((actual[:, None] < np.tensordot(weight, members, 1)) - promised) * counted[:, None]
        gradient = np.tensordot(apart, slope, 2) / lost + hold * np.log(weight / start)
        move = FIRST_STEP / np.sqrt(1 + step / SLOWER_AFTER) * gradient
        weight = np.maximum(weight * np.exp(-np.clip(move, -LARGEST_MOVE, LARGEST_MOVE)), _SMALLEST)
        weight = weight / weight.sum()
        if step >= STEPS // 2:
            total = total + weight
    return total / total.sum()

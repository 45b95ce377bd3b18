"""The cheapest plan of one storage over a whole year of known load and sun, exactly, by dynamic programming.

What is stored at the end of an interval is worth a convex, piecewise linear function of it, because an interval costs
one of what is added: a kW more is taken from what is curtailed, from what is exported, from the grid. One interval
back both are merged by slope (an infimal convolution); where an interval's own pieces stand among the others are
base-stock levels, so that going forward takes a few comparisons an interval. A year of hours takes milliseconds
where a linear programme takes seconds; it is what plans with forecasts are held against.

Source: Bertsekas (2012), Dynamic Programming and Optimal Control I, section 3.2; Rockafellar (1970), Convex Analysis,
theorem 16.4, for the merging.
"""

from dataclasses import replace

import numpy as np
from numba import njit

from digital_twin.domain.errors import Infeasible, InvalidInput
from digital_twin.domain.units import Array
from digital_twin.optimization.accounting import account
from digital_twin.optimization.blocks import prices_of
from digital_twin.optimization.check import violations
from digital_twin.optimization.dispatch import PlanRefused
from digital_twin.optimization.plan import DispatchProblem, Schedule, Weights

_PIECES = 7
"""Of an interval's cost over what is added at most: export beyond the limit and within, curtailment, import within and
beyond, one of them in two where charging begins."""

Pieces = tuple[Array, Array]
"""Slopes and lengths of a piecewise linear function."""

Connection = tuple[Array, Array, Array]
"""Of each interval the slopes and lengths of its cost over the power of the storage, and where they begin."""

Device = tuple[float, float, float, float]
"""kWh stored per kW charged, taken per kW discharged, wear of a kW, and the most kW."""

Bounds = tuple[float, float, float]
"""What is stored at first, what fits in, and the worth of a kWh at the end."""

_UNLIMITED_KW = 1e9
_FEASIBLE, _IMPOSSIBLE, _BURNS = 0, 1, 2
_ROUNDING_KWH = 1e-9


def plan_with_foresight(problem: DispatchProblem, weights: Weights) -> Schedule:
    """The plan that minimises the weighted sum of cost and emissions, checked as every plan.

    Raises:
        InvalidInput: a question that this cannot answer: devices, sharing between members, a peak that has a price,
            exports dearer than imports, or prices at which burning energy pays. `plan_dispatch` plans those.
        Infeasible: no plan respects the limits.
    """
    _check(problem, weights)
    charge, discharge = _plan(problem, weights)
    schedule = account(problem, weights, charge, discharge, _curtailed(problem, weights, discharge - charge))
    broken = violations(problem, schedule)
    if broken:
        raise PlanRefused(f"the plan failed the independent check of {', '.join(broken)}; please report the request")
    return replace(schedule, solver="dynamic programme")


def _check(problem: DispatchProblem, weights: Weights) -> None:
    reasons = {
        "devices": problem.devices,
        "sharing between members": problem.exchange,
        "a peak that has a price": problem.peak or weights.peak,
    }
    for reason, is_there in reasons.items():
        if is_there:
            raise InvalidInput(f"a plan with foresight knows no {reason}; ask plan_dispatch")
    prices = prices_of(problem, weights)
    if (prices["import_kw"] < -prices["export_kw"]).any():
        raise InvalidInput("a plan with foresight needs imports that cost at least what exports earn")


def _plan(problem: DispatchProblem, weights: Weights) -> tuple[Array, Array]:
    storage, grid = problem.storage, problem.outlook.grid
    connection = _connection(problem, weights)
    device = (
        grid.step_hours * storage.charge_efficiency,
        grid.step_hours / storage.discharge_efficiency,
        grid.step_hours * weights.cost * storage.wear_per_kwh,
        storage.power_kw,
    )
    least = storage.least_kwh(grid.steps, grid.step_hours)
    bounds = (storage.initial_kwh, storage.capacity_kwh, weights.cost * storage.end_value_per_kwh)
    levels = np.zeros((grid.steps, _PIECES))
    outcome = _look_back(connection, device, least, bounds, levels)
    if outcome == _BURNS:
        raise InvalidInput("at these prices burning energy pays, which a plan with foresight cannot tell from using it")
    if outcome == _IMPOSSIBLE:
        raise Infeasible("no plan of the storage respects the limits of the connection and its own in every interval")
    added = _go_forward(connection, device, storage.initial_kwh, levels)
    return np.maximum(added, 0.0) / device[0], np.maximum(-added, 0.0) / device[1]


def _connection(problem: DispatchProblem, weights: Weights) -> Connection:
    """What an interval costs over the net load before curtailment: slopes, lowest first, lengths, where they begin.

    The beginning is told as the power of the storage there, charging above 0.
    """  # (T, 5), (T, 5), (T,)
    outlook, limits, prices = problem.outlook, problem.limits, prices_of(problem, weights)
    steps = outlook.grid.steps
    is_priced = limits.beyond_per_kwh is not None
    beyond = _UNLIMITED_KW if is_priced else 0.0
    curtailable = outlook.pv_kw if problem.curtailable else np.zeros(steps)
    pieces = (
        (-prices.get("export_beyond_kw", prices["export_kw"]), beyond),
        (-prices["export_kw"], limits.export_kw),
        (-prices["curtailed_kw"], curtailable),
        (prices["import_kw"], limits.import_kw),
        (prices.get("import_beyond_kw", prices["import_kw"]), beyond),
    )
    slopes = np.stack([np.broadcast_to(slope, steps) for slope, _ in pieces], axis=1)
    lengths = np.stack([np.broadcast_to(length, steps) for _, length in pieces], axis=1)
    order = np.argsort(slopes, axis=1, kind="stable")
    left = -beyond - limits.export_kw - curtailable - (outlook.load_kw - outlook.pv_kw)
    return np.take_along_axis(slopes, order, 1), np.take_along_axis(lengths, order, 1).astype(np.float64), left


def _curtailed(problem: DispatchProblem, weights: Weights, supplied_kw: Array) -> Array:
    """The least curtailment that is cheapest, given what the storage supplies."""
    outlook, limits = problem.outlook, problem.limits
    if not problem.curtailable:
        return np.zeros_like(supplied_kw)
    prices = prices_of(problem, weights)
    export_kw = outlook.pv_kw + supplied_kw - outlook.load_kw
    saved = prices["export_kw"] - prices["curtailed_kw"]  # by a kW curtailed in place of exported
    earned = -prices["import_kw"] - prices["curtailed_kw"]  # by a kW curtailed and imported in its place
    wanted = np.where(saved > 0, np.maximum(export_kw, 0.0), 0.0)
    wanted = np.where(earned > 0, np.maximum(export_kw + limits.import_kw, 0.0), wanted)
    beyond = -prices.get("import_beyond_kw", np.full_like(saved, np.inf)) - prices["curtailed_kw"]
    wanted = np.where(beyond > 0, outlook.pv_kw, wanted)
    dear = prices.get("export_beyond_kw", np.full_like(saved, np.inf)) - prices["curtailed_kw"]
    wanted = np.maximum(wanted, np.where(dear > 0, export_kw - limits.export_kw, 0.0))
    return np.clip(wanted, 0.0, outlook.pv_kw)


@njit(cache=True, error_model="numpy")
def _own_pieces(slopes: Array, lengths: Array, left: float, device: Device, into: Pieces) -> tuple[int, float]:
    """The pieces of an interval's cost over what is added to the storage, and the least that can be added.

    Returns: their number, -1 where a dearer one comes before a cheaper.
    """
    stored, taken, wear, most = device
    own_slopes, own_lengths = into
    count, start, first = 0, left, np.inf
    for piece in range(slopes.size):
        end = start + lengths[piece]
        for sign in (-1, 1):
            low = max(start, -most) if sign < 0 else max(start, 0.0)
            high = min(end, 0.0) if sign < 0 else min(end, most)
            if high < low or (high == low and first < np.inf):
                continue
            scale = taken if sign < 0 else stored
            first = min(first, scale * low)
            if high > low:
                own_slopes[count] = (slopes[piece] + sign * wear) / scale
                own_lengths[count] = scale * (high - low)
                count += 1
        start = end
    for piece in range(1, count):
        if own_slopes[piece] < own_slopes[piece - 1] - 1e-12:
            return -1, first
    return count, first


@njit(cache=True, error_model="numpy")
def _look_back(connection: Connection, device: Device, least: Array, bounds: Bounds, levels: Array) -> int:
    """From the last interval to the first: up to which energy each piece of an interval is used."""
    slopes, lengths, left = connection
    initial, capacity, end_value = bounds
    steps = left.size
    size = _PIECES * (steps + 1) + 1
    after, before = (np.empty(size), np.empty(size)), (np.empty(size), np.empty(size))
    own = (np.empty(_PIECES), np.empty(_PIECES))
    low, count = least[steps - 1], 1
    after[0][0], after[1][0] = -end_value, capacity - low
    for step in range(steps - 1, -1, -1):
        found, first = _own_pieces(slopes[step], lengths[step], left[step], device, own)
        if found < 0:
            return _BURNS
        start = low - first - own[1][:found].sum()
        floor, ceiling = (least[step - 1], capacity) if step > 0 else (initial, initial)
        domain = (low, max(floor - start, 0.0), ceiling - max(start, floor))
        if first == np.inf or domain[2] < -_ROUNDING_KWH:
            return _IMPOSSIBLE
        count, missing = _merge((after, count), (own, found), domain, before, levels[step])
        if missing > _ROUNDING_KWH:
            return _IMPOSSIBLE
        low = max(start, floor)
        after, before = before, after
    return _FEASIBLE


@njit(cache=True, error_model="numpy")
def _merge(
    after: tuple[Pieces, int], own: tuple[Pieces, int], domain: tuple[float, float, float], into: Pieces, levels: Array
) -> tuple[int, float]:
    """The worth before an interval: that after it and the interval's own pieces, sorted by slope.

    Args:
        domain: the least energy after the interval, how much is cut off at the left, and how much may be left
        levels: where it goes up to which energy after the interval each of its own pieces is used.

    Returns: how many pieces there are, and how much there was too little to cut off.
    """
    ((slopes, lengths), count), ((own_slopes, own_lengths), found) = after, own
    place, skip, space = domain
    take, inserted, kept = 0, 0, 0
    while inserted < found or take < count:
        mine = found - 1 - inserted  # what adds most comes first
        if inserted < found and (take == count or -own_slopes[mine] <= slopes[take]):
            slope, length = -own_slopes[mine], own_lengths[mine]
            levels[mine] = place
            inserted += 1
        else:
            slope, length = slopes[take], lengths[take]
            place += length
            take += 1
        cut = min(length, skip)
        skip -= cut
        length = min(length - cut, space)
        if length > 0:
            into[0][kept], into[1][kept] = slope, length
            space -= length
            kept += 1
    return kept, skip


@njit(cache=True, error_model="numpy")
def _go_forward(connection: Connection, device: Device, initial: float, levels: Array) -> Array:
    """What is added in each interval."""  # (T,)
    slopes, lengths, left = connection
    own = (np.empty(_PIECES), np.empty(_PIECES))
    energy, added = initial, np.zeros(left.size)
    for step in range(left.size):
        found, change = _own_pieces(slopes[step], lengths[step], left[step], device, own)
        for piece in range(found):
            room = min(own[1][piece], levels[step, piece] - energy - change)
            if room <= 0:
                break
            change += room
        added[step] = change
        energy += change
    return added

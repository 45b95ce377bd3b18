"""The exact plan of a small fleet where burning energy would pay: which way each storage goes is a choice of its own.

Where charging while discharging costs something, no cheapest plan does it, and the bounds of the search meet. At prices
so negative that it pays, or where an export that cannot be curtailed has to go somewhere, they do not; then a
mixed-integer program of the same units and connection decides, with one binary variable a storage and interval.
"""

import time

import highspy
import numpy as np
from scipy.sparse import block_diag, bmat, csc_array, csr_matrix, diags, eye, identity, kron, vstack

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.bounds import Bounds
from digital_twin.optimization.fleet.plan import Flags
from digital_twin.optimization.fleet.presolve import StandardFleet
from digital_twin.optimization.fleet.units import CHARGE, DISCHARGE, ENERGY, SURPLUS
from digital_twin.optimization.linear_program import LinearProgram, NoFeasiblePoint, run

MOST_CHOICES = 500
"""Five storages over a day of quarter-hours."""

_SECONDS = 20.0
_OF_TOLERANCE = 0.5


def settle_directions(standard: StandardFleet, bounds: Bounds, *, until: float) -> None:
    """Look for the best plan of one direction at a time where the bounds have not met; it stands in `bounds` then.

    A unit that stands for several storages has them all go the same way, so that it gives no bound.

    Args:
        until: when to stop, on the monotonic clock.
    """
    choices = _choices(standard)
    seconds = min(_SECONDS, until - time.monotonic())
    if not choices.any() or choices.sum() > MOST_CHOICES or seconds <= 0:
        return
    solver = highspy.Highs()
    options = {
        "output_flag": False, "threads": 1, "time_limit": seconds, "mip_feasibility_tolerance": 1e-9,
        "mip_rel_gap": 0.0, "mip_abs_gap": _OF_TOLERANCE * bounds.tolerance * bounds.scale,
    }  # fmt: skip
    for option, value in options.items():
        solver.setOptionValue(option, value)
    solver.passModel(_program(standard, bounds, choices).to_highs())
    try:
        run(solver)
    except (NoFeasiblePoint, RuntimeError):  # nothing within hard limits, or lost in rounding: what is known stands
        return
    solution = solver.getSolution()
    if solution.value_valid:
        values = np.array(solution.col_value)[: standard.units.room.size]
        bounds.try_courses(values.reshape(standard.units.room.shape)[:, ENERGY])
    if (standard.count[standard.with_choice] == 1).all():
        bounds.raise_lower(float(solver.getInfo().mip_dual_bound))


def _choices(standard: StandardFleet) -> Flags:
    """Where a unit can go either way."""  # (U, T)
    room = standard.units.room
    charge = room[:, CHARGE] + (room[:, SURPLUS] if room.shape[1] > SURPLUS else 0.0)
    return (charge > 0) & (room[:, DISCHARGE] > 0)


def _program(standard: StandardFleet, bounds: Bounds, choices: Flags) -> LinearProgram:
    """Of the units' variables, those of the connection, and a choice of 1 where a unit may charge, not discharge."""
    units, grid, room = standard.units, bounds.grid, bounds.grid.room.copy()
    count, kinds, steps = units.room.shape
    if bounds.hard:
        room[steps : 2 * steps] = room[3 * steps : 4 * steps] = 0.0
    left = np.zeros((kinds, steps))
    left[ENERGY, -1] = -1.0
    used = np.zeros((kinds, 1))
    used[[kind for kind in range(kinds) if kind != ENERGY]] = 1.0
    cost = units.wear[:, None, None] * used + standard.end_value[:, None, None] * left
    size, chosen = units.room.size, int(choices.sum())
    injected = np.zeros((1, kinds))
    injected[0, [CHARGE, DISCHARGE]] = -1.0, 1.0
    together = kron(np.ones((1, count)), kron(injected, identity(steps)))
    apart = csr_matrix((grid.right_side.size - steps, size))
    charge, discharge = _sides(units.room, choices)
    room_of_charge, room_of_discharge = (side @ units.room.ravel() for side in (charge, discharge))
    rows = bmat([
        [_stored(standard), None, csr_matrix((count * steps, chosen))],
        [vstack([together, apart]), grid.rows, None],
        [charge, None, -diags(room_of_charge)],
        [discharge, None, diags(room_of_discharge)],
    ])  # fmt: skip
    equal = np.concatenate([-units.drawn.ravel(), grid.right_side])
    return LinearProgram(
        np.concatenate([cost.ravel(), grid.cost, np.zeros(chosen)]),
        np.zeros(size + grid.cost.size + chosen),
        np.concatenate([units.room.ravel(), room, np.ones(chosen)]),
        csc_array(rows),
        np.concatenate([equal, np.full(2 * chosen, -np.inf)]),
        np.concatenate([equal, np.zeros(chosen), room_of_discharge]),
        np.concatenate([np.zeros(size + grid.cost.size), np.ones(chosen)]),
    )


def _stored(standard: StandardFleet) -> csr_matrix:
    """Rows of what is stored, of one unit after the other."""
    units = standard.units
    count, kinds, steps = units.room.shape
    risen = np.zeros((count, 1, kinds))
    risen[:, 0, CHARGE], risen[:, 0, DISCHARGE] = -units.stored, units.taken
    if kinds > SURPLUS:
        risen[:, 0, SURPLUS] = -units.stored
    energy = np.zeros((1, kinds))
    energy[0, ENERGY] = 1.0
    before = identity(steps) - eye(steps, k=-1)
    return csr_matrix(block_diag([kron(each, identity(steps)) + kron(energy, before) for each in risen]))


def _sides(room: Array, choices: Flags) -> tuple[csr_matrix, csr_matrix]:
    """What adds up to all charge and to all discharge, where there is a choice."""  # (chosen, variables) each
    unit, step = np.nonzero(choices)
    kinds = room.shape[1]
    every = np.arange(room.size).reshape(room.shape)
    rows = np.arange(unit.size)

    def adding(*added: int) -> csr_matrix:
        columns = np.concatenate([every[unit, kind, step] for kind in added])
        return csr_matrix((np.ones(columns.size), (np.tile(rows, len(added)), columns)), shape=(unit.size, room.size))

    return adding(CHARGE, SURPLUS) if kinds > SURPLUS else adding(CHARGE), adding(DISCHARGE)

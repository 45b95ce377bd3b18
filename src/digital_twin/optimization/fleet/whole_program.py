"""The plan for members as one linear program with everything written out, for other solvers."""

from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import FleetProblem, Whole
from digital_twin.optimization.linear_program import LinearProgram


def whole_program(problem: FleetProblem) -> tuple[LinearProgram, float, list[str]]:
    """The program, what its objective leaves out, and the names of its columns.

    Charge, discharge and energy of each storage; what each member curtails who may; import and export within limits and
    beyond them; the highest import.
    """
    storages, members, hours = problem.storages, problem.members, problem.grid.step_hours
    count, steps = storages.charge_max_kw.shape
    may = np.flatnonzero(members.curtailable & members.pv_kw.any(axis=1))
    per_kw, so_far_kw = (problem.peak.per_kw, problem.peak.so_far_kw) if problem.peak else (0.0, 0.0)
    price_in, price_out = hours * problem.import_price_per_kwh, hours * problem.export_price_per_kwh
    beyond = problem.limits.beyond_per_kwh
    extra, most = (0.0, 0.0) if beyond is None else (hours * beyond, highspy.kHighsInf)
    wear, left = np.repeat(hours * storages.wear_per_kwh, steps), np.zeros((count, steps))
    left[:, -1] = -storages.end_value_per_kwh
    each, sun = np.ones(steps), members.pv_kw[may].ravel()
    limits = [problem.limits.import_kw * each, most * each, problem.limits.export_kw * each, most * each]
    program = LinearProgram(
        cost=np.concatenate([
            wear, wear, left.ravel(), 0 * sun, price_in, price_in + extra, -price_out, extra - price_out, [per_kw],
        ]),
        lower=np.concatenate([np.zeros(2 * count * steps), storages.lowest_kwh.ravel(), 0 * sun, np.zeros(4 * steps),
                              [so_far_kw]]),
        upper=np.concatenate([
            storages.charge_max_kw.ravel(), storages.discharge_max_kw.ravel(), storages.highest_kwh.ravel(), sun,
            *limits, [highspy.kHighsInf],
        ]),
        matrix=_matrix(problem, may),
        **_sides(problem),
    )  # fmt: skip
    return program, -per_kw * so_far_kw, _names(count, may.tolist(), steps)


def _matrix(problem: FleetProblem, may: Whole) -> Any:
    """Energy in store, the community's balances, members behind fuses, and the peak."""
    storages, hours = problem.storages, problem.grid.step_hours
    count, steps = storages.charge_max_kw.shape
    one, homes = sp.eye_array(steps), problem.members.load_kw.shape[0]
    gains: Any = sp.kron(sp.diags_array(-hours * storages.charge_efficiency), one)
    losses = sp.kron(sp.diags_array(hours / storages.discharge_efficiency), one)
    stored = sp.kron(sp.eye_array(count), one - sp.eye_array(steps, k=-1))
    of_storage: Any = sp.csr_array((np.ones(count), (storages.member, np.arange(count))), shape=(homes, count))
    of_sun: Any = sp.csr_array((np.ones(may.size), (may, np.arange(may.size))), shape=(homes, may.size))
    fused = _fused(problem)
    together: list[Any] = [sp.kron(np.ones((1, size)), one) for size in (count, may.size)]
    behind: list[Any] = [sp.kron(part[fused], one) for part in (of_storage, of_sun)]
    peak = sp.csr_array(-np.ones((steps, 1)))
    blocks: list[list[Any]] = [
        [gains, losses, stored, *[None] * 6],
        [-together[0], together[0], None, -together[1], one, one, -one, -one, None],
        [behind[0], -behind[0], None, behind[1], *[None] * 5],
        [None, None, None, None, one, one, None, None, peak],
    ]
    return sp.csc_array(sp.block_array([row for row in blocks if row[0] is None or row[0].shape[0]]))


def _fused(problem: FleetProblem) -> Whole:
    members = problem.members
    return np.flatnonzero(np.isfinite(members.import_fuse_kw) | np.isfinite(members.export_fuse_kw))


def _sides(problem: FleetProblem) -> dict[str, Array]:
    members, storages = problem.members, problem.storages
    drawn = -storages.driven_kwh
    drawn[:, 0] += storages.initial_kwh
    need_kw, fused = members.load_kw - members.pv_kw, _fused(problem)
    steps = problem.grid.steps
    inward, outward = (fuse[fused, None] for fuse in (members.import_fuse_kw, members.export_fuse_kw))
    exact = [drawn.ravel(), need_kw.sum(axis=0)]
    return {
        "row_lower": np.concatenate([*exact, (-outward - need_kw[fused]).ravel(), np.full(steps, -np.inf)]),
        "row_upper": np.concatenate([*exact, (inward - need_kw[fused]).ravel(), np.zeros(steps)]),
    }


def _names(storages: int, may: list[int], steps: int) -> list[str]:
    """`storage_3_charge_kw_17` is the charge of that storage in the interval of that number; so for members."""
    of_storages = [
        f"storage_{row}_{name}_{step}"
        for name in ("charge_kw", "discharge_kw", "soc_kwh")
        for row in range(storages)
        for step in range(steps)
    ]
    of_members = [f"member_{row}_curtailed_kw_{step}" for row in may for step in range(steps)]
    connection = ("import_kw", "import_beyond_kw", "export_kw", "export_beyond_kw")
    return [*of_storages, *of_members, *(f"{name}_{step}" for name in connection for step in range(steps)), "peak_kw"]

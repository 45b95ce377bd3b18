"""What a linear model cannot say: one direction at a time, power 0 or at least a minimum, a run in one piece.

A plan of the linear model that keeps to these is the best of all. Where it does not, the same linear program is solved
with binaries for the switches that it breaks, and again with those that the new plan breaks, until it breaks none. What
was chosen becomes bounds of the linear model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import highspy
import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.check import POWER_TOLERANCE_KW
from digital_twin.optimization.device_blocks import prefix_of
from digital_twin.optimization.devices import Battery, ElectricVehicle, ShiftableLoad, ShiftableRun
from digital_twin.optimization.linear_program import LinearProgram, NoFeasiblePoint, OutOfTime, run
from digital_twin.optimization.model import Numbers, Prices
from digital_twin.optimization.plan import DispatchProblem

MODE_GAP = 1e-6
"""To which the plans with binaries are solved, relative to the objective."""
WHOLE = 1e-6
"""How far from 0 or 1 a start may be."""


class Programs(Protocol):
    """A model that states its linear programs."""

    def program(self, numbers: Numbers, prices: Prices) -> LinearProgram: ...

    def columns_of(self, name: str) -> slice: ...

    def named(self, x: Array) -> dict[str, Array]: ...


@dataclass(frozen=True, slots=True)
class Switch:
    """Two directions of which each interval has at most one, at power 0 or at least the minimum."""

    forward: tuple[str, ...]
    backward: tuple[str, ...] = ()
    minimum_kw: float = 0.0

    def is_broken_by(self, values: dict[str, Array]) -> bool:
        forward, backward = (_sum(values, names) for names in (self.forward, self.backward))
        both = np.minimum(forward, backward).max() > POWER_TOLERANCE_KW
        return bool(both) or self._is_between(forward) or self._is_between(backward)

    def _is_between(self, powers: Array) -> bool:
        return self.minimum_kw > 0 and bool(
            ((powers > POWER_TOLERANCE_KW) & (powers < self.minimum_kw - POWER_TOLERANCE_KW)).any()
        )


@dataclass(frozen=True, slots=True)
class Start:
    """A run that starts in one interval."""

    name: str

    def is_broken_by(self, values: dict[str, Array]) -> bool:
        return bool(values[self.name].max() < 1 - WHOLE)


Mode = Switch | Start


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The numbers with the modes as bounds, and what no plan can cost less than."""

    numbers: Numbers
    bound: float
    seconds: float
    is_certain: bool  # that some plan keeps to them: when the time is over they may be a guess


def modes_of(problem: DispatchProblem) -> list[Mode]:
    """Everything that the linear model may break."""
    imported, exported = ("import_kw",), ("export_kw",)
    if problem.limits.beyond_per_kwh is not None:
        imported, exported = (*imported, "import_beyond_kw"), (*exported, "export_beyond_kw")
    modes: list[Mode] = [Switch(("charge_kw",), ("discharge_kw",)), Switch(imported, exported)]
    for index, device in enumerate(problem.devices):
        prefix = prefix_of(index)
        match device:
            case Battery():
                modes.append(Switch((f"{prefix}charge_kw",), (f"{prefix}discharge_kw",)))
            case ElectricVehicle():
                modes.append(Switch((f"{prefix}charge_kw",), (f"{prefix}discharge_kw",), device.minimum_power_kw))
            case ShiftableLoad() if device.minimum_power_kw:
                modes.append(Switch((f"{prefix}charge_kw",), (), device.minimum_power_kw))
            case ShiftableRun():
                modes.append(Start(f"{prefix}start"))
            case _:
                pass
    return modes


def choose_modes(
    compiled: Programs,
    numbers: Numbers,
    stages: Sequence[Prices],
    modes: Sequence[Mode],
    values: dict[str, Array],
    *,
    time_limit_s: float,
) -> Chosen:
    """The modes of the best plan.

    Args:
        values: a plan of the linear model that breaks some of the modes.

    Raises:
        NoFeasiblePoint: no plan keeps to the modes.
    """
    kept: list[Mode] = []
    seconds, bound = 0.0, -np.inf
    while broken := [mode for mode in modes if mode not in kept and mode.is_broken_by(values)]:
        kept += broken
        try:
            found = _search(compiled, numbers, stages, kept, time_limit_s - seconds)
        except OutOfTime as stopped:
            return Chosen(_fixed(numbers, modes, values), max(bound, stopped.bound), time_limit_s, is_certain=False)
        values, bound, seconds = found.values, found.bound, seconds + found.seconds
    return Chosen(_fixed(numbers, modes, values), bound, seconds, is_certain=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    values: dict[str, Array]
    bound: float
    seconds: float


def _search(
    compiled: Programs,
    numbers: Numbers,
    stages: Sequence[Prices],
    modes: Sequence[Mode],
    time_limit_s: float,
) -> _Found:
    """The best plan that keeps to these modes; each later stage but the idle use is best among those before it."""
    program = _with_binaries(compiled, numbers, stages[0], modes)
    highs = highspy.Highs()
    for option, value in (("output_flag", False), ("threads", 1), ("mip_rel_gap", MODE_GAP)):
        highs.setOptionValue(option, value)
    highs.setOptionValue("mip_feasibility_tolerance", 1e-9)
    highs.setOptionValue("time_limit", max(0.0, time_limit_s))
    highs.passModel(program.to_highs())
    is_finished = run(highs)
    bound = float(highs.getInfo().mip_dual_bound)
    if highs.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        raise OutOfTime(bound)
    x = np.asarray(highs.getSolution().col_value)
    if is_finished:
        x = _best_of_ties(highs, program.cost, x, [compiled.program(numbers, prices).cost for prices in stages[1:-1]])
    size = len(x) - sum(2 * numbers.upper[mode.forward[0]].size for mode in modes if isinstance(mode, Switch))
    return _Found(compiled.named(x[:size]), bound, float(highs.getRunTime()))


def _best_of_ties(highs: highspy.Highs, cost: Array, x: Array, later: Sequence[Array]) -> Array:
    """The plan that is best by the later costs among those that are as good by the first."""
    for then in later:
        worth = float(cost @ x)
        priced = np.flatnonzero(cost).astype(np.int32)
        highs.addRow(-highspy.kHighsInf, worth + 1e-9 * max(1.0, abs(worth)), priced.size, priced, cost[priced])
        cost = np.append(then, np.zeros(x.size - then.size))
        highs.changeColsCost(x.size, np.arange(x.size, dtype=np.int32), cost)
        try:
            if not run(highs):
                break
        except NoFeasiblePoint:  # rounding: the best plan is feasible
            break
        x = np.asarray(highs.getSolution().col_value)
    return x


def _with_binaries(compiled: Programs, numbers: Numbers, prices: Prices, modes: Sequence[Mode]) -> LinearProgram:
    """One binary for each direction of a switch in each interval, behind all other columns; starts become whole."""
    program = compiled.program(numbers, prices)
    whole = np.zeros(program.cost.size)
    for mode in modes:
        if isinstance(mode, Start):
            whole[compiled.columns_of(mode.name)] = 1.0
    program = replace(program, whole=whole)
    for mode in modes:
        if isinstance(mode, Switch):
            program = _switched(program, compiled, numbers, mode)
    return program


def _fixed(numbers: Numbers, modes: Sequence[Mode], values: dict[str, Array]) -> Numbers:
    """The numbers whose bounds leave the modes of a plan: all of them, lest ties be broken by breaking another."""
    lower, upper = dict(numbers.lower), dict(numbers.upper)
    for mode in modes:
        if isinstance(mode, Start):
            start = values[mode.name]
            lower[mode.name] = upper[mode.name] = np.where(np.arange(start.size) == np.argmax(start), 1.0, 0.0)
            continue
        forward, backward = _sum(values, mode.forward), _sum(values, mode.backward)
        is_back = backward > forward
        is_on = forward > POWER_TOLERANCE_KW, backward > POWER_TOLERANCE_KW
        if not mode.minimum_kw:
            is_on = ~is_back, is_back  # where nothing flows, either may
        for names, on in zip((mode.forward, mode.backward), is_on, strict=True):
            for name in names:
                upper[name] = upper[name] * on
            if mode.minimum_kw and names:
                lower[names[0]] = np.minimum(mode.minimum_kw * on, upper[names[0]])
    return Numbers(numbers.right_hand_sides, lower, upper)


def _switched(program: LinearProgram, compiled: Programs, numbers: Numbers, mode: Switch) -> LinearProgram:
    """minimum b <= x_forward <= most b, the same backward, and not both."""
    steps = numbers.upper[mode.forward[0]].size
    before = program.cost.size
    blocks: list[sp.csr_array] = []
    lower: list[Array] = []
    upper: list[Array] = []
    most_on = np.zeros(2 * steps)
    for direction, names in enumerate((mode.forward, mode.backward)):
        most = _sum(numbers.upper, names) if names else np.zeros(steps)
        mine = slice(direction * steps, (direction + 1) * steps)
        most_on[mine] = most > 0
        powers = sp.csr_array(sp.hstack([_picked(compiled, names, before, steps), sp.csr_array((steps, 2 * steps))]))
        binary = sp.csr_array(sp.eye_array(steps, before + 2 * steps, k=before + direction * steps))
        blocks.append(powers - sp.csr_array(binary.multiply(most[:, None])))
        lower.append(np.full(steps, -highspy.kHighsInf))
        upper.append(np.zeros(steps))
        if mode.minimum_kw:
            blocks.append(powers - mode.minimum_kw * binary)
            lower.append(np.zeros(steps))
            upper.append(np.full(steps, highspy.kHighsInf))
    both = sp.hstack([sp.csr_array((steps, before)), sp.eye_array(steps), sp.eye_array(steps)])
    # without a minimum one of both may always be on: presolve then needs half of the binaries
    either = (most_on[:steps] + most_on[steps:] > 1) & (mode.minimum_kw == 0)
    rows = sp.vstack([*blocks, both])
    matrix = sp.vstack([sp.hstack([program.matrix, sp.csr_array((program.row_lower.size, 2 * steps))]), rows])
    assert program.whole is not None
    return LinearProgram(
        np.append(program.cost, np.zeros(2 * steps)),
        np.append(program.lower, np.zeros(2 * steps)),
        np.append(program.upper, most_on),
        sp.csc_array(matrix),
        np.concatenate([program.row_lower, *lower, np.where(either, 1.0, -highspy.kHighsInf)]),
        np.concatenate([program.row_upper, *upper, np.ones(steps)]),
        np.append(program.whole, np.ones(2 * steps)),
    )


def _picked(compiled: Programs, names: Sequence[str], size: int, steps: int) -> sp.csr_array:
    """Sums the named variables of each interval."""
    picked = sp.csr_array((steps, size))
    for name in names:
        picked = picked + sp.eye_array(steps, size, k=compiled.columns_of(name).start)
    return sp.csr_array(picked)


def _sum(values: dict[str, Array], names: Sequence[str]) -> Array:
    if not names:
        return np.zeros(1)
    first, *others = (values[name] for name in names)
    return sum(others, start=first)

"""What a linear model cannot say: one direction at a time, power 0 or at least a minimum, a run in one piece.

A plan of the linear model that keeps to these is the best of all. Where it does not, the same linear program is solved
with binaries for the switches that it breaks, then for all of them if that breaks others, and what they choose becomes
bounds of the linear model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import highspy
import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.check import POWER_TOLERANCE_KW
from digital_twin.optimization.compiled import CompiledModel
from digital_twin.optimization.device_blocks import prefix_of
from digital_twin.optimization.devices import Battery, ElectricVehicle, ShiftableLoad, ShiftableRun
from digital_twin.optimization.linear_program import LinearProgram, OutOfTime, run
from digital_twin.optimization.model import Numbers, Prices
from digital_twin.optimization.plan import DispatchProblem

MODE_GAP = 1e-6
"""To which the plans with binaries are solved, relative to the objective."""
WHOLE = 1e-6
"""How far from 0 or 1 a start may be."""


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
        return bool(((powers > POWER_TOLERANCE_KW) & (powers < self.minimum_kw - POWER_TOLERANCE_KW)).any())


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
    compiled: CompiledModel,
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
        OutOfTime: none was found in time.
    """
    broken = [mode for mode in modes if mode.is_broken_by(values)]
    mixed = _Mixed(compiled, numbers, stages, broken)
    spent_s = mixed.solve(time_limit_s)
    if any(mode.is_broken_by(mixed.values) for mode in modes):
        mixed = _Mixed(compiled, numbers, stages, modes)
        spent_s += mixed.solve(time_limit_s - spent_s)
    return Chosen(mixed.fixed(), mixed.bound, spent_s)


class _Mixed:
    """The linear program with a binary for every interval of some modes."""

    def __init__(
        self, compiled: CompiledModel, numbers: Numbers, stages: Sequence[Prices], modes: Sequence[Mode]
    ) -> None:
        self._compiled, self._numbers, self._modes = compiled, numbers, modes
        self._program = compiled.program(numbers, stages[0])
        self._later = [compiled.program(numbers, prices).cost for prices in stages[1:-1]]
        self.bound = -np.inf
        self.values: dict[str, Array] = {}
        self._binaries = np.zeros(0)

    def solve(self, time_limit_s: float) -> float:
        """The seconds that it took; a later stage is solved among the best plans of those before it."""
        size = self._program.cost.size
        program = self._with_binaries()
        highs = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("mip_rel_gap", MODE_GAP)):
            highs.setOptionValue(option, value)
        highs.setOptionValue("mip_feasibility_tolerance", 1e-9)
        highs.setOptionValue("time_limit", max(0.0, time_limit_s))
        highs.passModel(program.to_highs())
        is_finished = run(highs)
        self.bound = float(highs.getInfo().mip_dual_bound)
        self._read(highs, size)
        columns = np.arange(size, dtype=np.int32)
        cost = program.cost[:size]
        for later in self._later if is_finished else ():
            worth = float(cost @ np.asarray(highs.getSolution().col_value)[:size])
            priced = np.flatnonzero(cost).astype(np.int32)
            highs.addRow(-highspy.kHighsInf, worth + 1e-9 * max(1.0, abs(worth)), priced.size, priced, cost[priced])
            highs.changeColsCost(size, columns, later)
            if not run(highs):
                break
            self._read(highs, size)
            cost = later
        return float(highs.getRunTime())

    def _read(self, highs: highspy.Highs, size: int) -> None:
        if highs.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            raise OutOfTime(self.bound)
        x = np.asarray(highs.getSolution().col_value)
        self.values = self._compiled.named(x[:size])
        self._binaries = np.round(x[size:])

    def _with_binaries(self) -> LinearProgram:
        """One binary for each direction of a switch in each interval; starts become whole."""
        program = self._program
        whole = np.zeros(program.cost.size)
        for mode in self._modes:
            if isinstance(mode, Start):
                whole[self._compiled.columns_of(mode.name)] = 1.0
        program = replace(program, whole=whole)
        for mode in self._modes:
            if isinstance(mode, Switch):
                program = _switched(program, self._compiled, self._numbers, mode)
        return program

    def fixed(self) -> Numbers:
        """The numbers whose bounds are the modes that were chosen."""
        lower, upper = dict(self._numbers.lower), dict(self._numbers.upper)
        left = self._binaries
        for mode in self._modes:
            if isinstance(mode, Start):
                lower[mode.name] = upper[mode.name] = np.round(self.values[mode.name])
                continue
            steps = upper[mode.forward[0]].size
            forward, backward, left = np.split(left, [steps, 2 * steps])
            if not mode.minimum_kw:
                forward = 1 - backward  # where nothing flows, either may
            for names, chosen in ((mode.forward, forward), (mode.backward, backward)):
                for name in names:
                    upper[name] = upper[name] * chosen
                if mode.minimum_kw and names:
                    lower[names[0]] = np.minimum(mode.minimum_kw * chosen, upper[names[0]])
        return Numbers(self._numbers.right_hand_sides, lower, upper)


def _switched(program: LinearProgram, compiled: CompiledModel, numbers: Numbers, mode: Switch) -> LinearProgram:
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
    rows = sp.vstack([*blocks, both])
    matrix = sp.vstack([sp.hstack([program.matrix, sp.csr_array((program.row_lower.size, 2 * steps))]), rows])
    assert program.whole is not None
    return LinearProgram(
        np.append(program.cost, np.zeros(2 * steps)),
        np.append(program.lower, np.zeros(2 * steps)),
        np.append(program.upper, most_on),
        sp.csc_array(matrix),
        np.concatenate([program.row_lower, *lower, np.full(steps, -highspy.kHighsInf)]),
        np.concatenate([program.row_upper, *upper, np.ones(steps)]),
        np.append(program.whole, np.ones(2 * steps)),
    )


def _picked(compiled: CompiledModel, names: Sequence[str], size: int, steps: int) -> sp.csr_array:
    """Sums the named variables of each interval."""
    picked = sp.csr_array((steps, size))
    for name in names:
        picked = picked + sp.eye_array(steps, size, k=compiled.columns_of(name).start)
    return sp.csr_array(picked)


def _sum(values: dict[str, Array], names: Sequence[str]) -> Array:
    return np.sum([values[name] for name in names], axis=0) if names else np.zeros(1)

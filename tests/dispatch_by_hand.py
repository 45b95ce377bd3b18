"""The dispatch model written out a second time, as one mixed-integer program for scipy: an independent judge.

Nothing is shared with the product but the dataclasses of the question. Every direction, minimum power and start is a
binary here; the product adds binaries only where its linear plan breaks one.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from digital_twin.domain.sharing import SharingRule
from digital_twin.optimization import (
    Battery,
    DispatchProblem,
    ElectricVehicle,
    HeatPump,
    ShiftableLoad,
    ShiftableRun,
    Storage,
    Weights,
)

Row = dict[int, float]


@dataclass
class Program:
    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    rows: list[tuple[Row, float, float]] = field(default_factory=list)
    constant: float = 0.0

    def column(self, low: float, high: float, cost: float = 0.0, whole: bool = False) -> int:
        self.cost.append(cost)
        self.low.append(low)
        self.high.append(high)
        self.whole.append(int(whole))
        return len(self.cost) - 1

    def row(self, row: Row, low: float, high: float) -> None:
        self.rows.append((row, low, high))

    def solve(self) -> float | None:
        """The least cost; None when infeasible."""
        data = [(index, column, value) for index, (row, _, _) in enumerate(self.rows) for column, value in row.items()]
        index, column, value = zip(*data, strict=True)
        matrix = csr_array((value, (index, column)), shape=(len(self.rows), len(self.cost)))
        found = milp(
            np.array(self.cost),
            integrality=np.array(self.whole),
            bounds=Bounds(np.array(self.low), np.array(self.high)),
            constraints=LinearConstraint(matrix, [low for _, low, _ in self.rows], [high for _, _, high in self.rows]),
            options={"mip_rel_gap": 1e-9},
        )
        if found.status == 2:
            return None
        assert found.status == 0, found.message
        return float(found.fun) + self.constant


def least_objective(problem: DispatchProblem, weights: Weights) -> float | None:
    """The best value of the weighted sum; None when no plan exists."""
    hours = problem.outlook.grid.step_hours
    program = Program()
    balance: list[Row] = [{} for _ in range(problem.outlook.grid.steps)]
    _battery(program, balance, problem.storage, weights, hours)
    for device in problem.devices:
        match device:
            case Battery():
                _battery(program, balance, device.storage, weights, hours)
            case ElectricVehicle():
                _vehicle(program, balance, device, weights, hours)
            case HeatPump():
                _heat_pump(program, balance, device, hours)
            case ShiftableLoad():
                _load(program, balance, device, hours)
            case ShiftableRun():
                _run(program, balance, device)
    _grid(program, balance, problem, weights)
    return program.solve()


def _sharing(program: Program, balance: list[Row], problem: DispatchProblem, weights: Weights) -> None:
    """What storage and devices take is imported and what they give exported; members' registers stay as they are."""
    view, exchange, hours = problem.outlook, problem.exchange, problem.outlook.grid.step_hours
    assert exchange is not None
    bought, sold = hours * exchange.import_kw, hours * exchange.export_kw
    trade = view.import_price_per_kwh @ bought.sum(axis=0) - view.export_price_per_kwh @ sold.sum(axis=0)
    program.constant += float(weights.cost * trade + weights.exported * sold.sum())
    block = max(1, exchange.settlement_minutes // view.grid.step_minutes)
    for first in range(0, len(balance), block):
        taken: Row = {}
        given: Row = {}
        for step in range(first, first + block):
            for power, sign in balance[step].items():
                if sign < 0:
                    program.cost[power] += -sign * hours * weights.cost * view.import_price_per_kwh[step]
                    taken[power] = taken.get(power, 0.0) + hours * sign
                else:
                    selling = weights.exported - weights.cost * view.export_price_per_kwh[step]
                    program.cost[power] += sign * hours * selling
                    given[power] = given.get(power, 0.0) - hours * sign
        span = slice(first, first + block)
        gain = -weights.cost * float(exchange.gain_per_kwh[span].mean())
        imported, exported = bought[:, span].sum(axis=1), float(sold[:, span].sum())
        if exchange.rule is SharingRule.STATIC:
            assert exchange.coefficients is not None
            for energy, share in zip(imported, exchange.coefficients, strict=True):
                received = program.column(0, float(energy), gain)
                row = {received: 1.0} | {power: float(share) * value for power, value in given.items()}
                program.row(row, -np.inf, float(share) * exported)
        elif exchange.rule is not SharingRule.NONE:
            shared = program.column(0, np.inf, gain)
            program.row({shared: 1.0} | taken, -np.inf, float(imported.sum()))
            program.row({shared: 1.0} | given, -np.inf, exported)


def _grid(program: Program, balance: list[Row], problem: DispatchProblem, weights: Weights) -> None:
    view, limits, hours = problem.outlook, problem.limits, problem.outlook.grid.step_hours
    peak = program.column(0, np.inf, weights.peak)
    billed = program.column(0, np.inf)
    if problem.peak is not None:
        program.low[billed] = problem.peak.so_far_kw
        program.cost[billed] = weights.cost * problem.peak.per_kw
        program.constant -= weights.cost * problem.peak.per_kw * problem.peak.so_far_kw
    program.row({billed: 1, peak: -1}, 0, np.inf)
    much = 1e4
    if problem.exchange is not None:
        _sharing(program, balance, problem, weights)
    registers = 1.0 if problem.exchange is None else 0.0  # whether the connection is the one that is billed
    for step, row in enumerate(balance):
        carbon = weights.emissions * view.emission_factor_kg_per_kwh[step]
        buy = hours * (registers * weights.cost * view.import_price_per_kwh[step] + carbon)
        sell = hours * (registers * (weights.exported - weights.cost * view.export_price_per_kwh[step]) - carbon)
        curtailed = program.column(0, view.pv_kw[step] * problem.curtailable, hours * weights.exported)
        bought, sold = program.column(0, much, buy), program.column(0, much, sell)
        importing = program.column(0, 1, whole=True)
        program.row({bought: 1, importing: -much}, -np.inf, 0)
        program.row({sold: 1, importing: much}, -np.inf, much)
        for power, limit in ((bought, limits.import_kw), (sold, limits.export_kw)):
            if limits.beyond_per_kwh is None:
                program.high[power] = limit
            else:
                beyond = program.column(0, np.inf, hours * weights.cost * limits.beyond_per_kwh)
                program.row({power: 1, beyond: -1}, -np.inf, limit)
        program.row({peak: 1, bought: -1}, 0, np.inf)
        net = view.load_kw[step] - view.pv_kw[step]
        program.row(row | {bought: 1.0, sold: -1.0, curtailed: -1.0}, net, net)


def _one_way(program: Program, charge: int, discharge: int, minimum: float) -> None:
    """Power 0, or minimum to maximum, in one direction."""
    ways = []
    for power in (charge, discharge):
        on = program.column(0, 1, whole=True)
        program.row({power: 1, on: -program.high[power]}, -np.inf, 0)
        program.row({power: 1, on: -min(minimum, program.high[power])}, 0, np.inf)
        ways.append(on)
    program.row(dict.fromkeys(ways, 1.0), 0, 1)


def _battery(program: Program, balance: list[Row], storage: Storage, weights: Weights, hours: float) -> None:
    wear = hours * weights.cost * storage.wear_per_kwh
    before, could = None, storage.initial_kwh
    for step, row in enumerate(balance):
        could += hours * storage.charge_efficiency * storage.power_kw
        charge, discharge = (program.column(0, storage.power_kw, wear) for _ in range(2))
        _one_way(program, charge, discharge, 0)
        last = step == len(balance) - 1
        low = max(min(storage.reserve_kwh, could), storage.final_min_kwh if last else 0.0)
        energy = program.column(low, storage.capacity_kwh, -weights.cost * storage.end_value_per_kwh if last else 0.0)
        change = {
            energy: 1.0,
            charge: -hours * storage.charge_efficiency,
            discharge: hours / storage.discharge_efficiency,
        }
        known = storage.initial_kwh if before is None else 0.0
        program.row(change if before is None else change | {before: -1.0}, known, known)
        row |= {charge: -1.0, discharge: 1.0}
        before = energy
    program.constant += weights.cost * storage.end_value_per_kwh * storage.final_min_kwh


def _vehicle(program: Program, balance: list[Row], vehicle: ElectricVehicle, weights: Weights, hours: float) -> None:
    wear = hours * weights.cost * vehicle.wear_per_kwh
    for stay in vehicle.stays:
        so_far: Row = {}
        for step in range(stay.first, stay.end):
            charge = program.column(0, vehicle.power_kw, wear)
            discharge = program.column(0, vehicle.power_kw if vehicle.vehicle_to_grid else 0.0, wear)
            _one_way(program, charge, discharge, vehicle.minimum_power_kw)
            so_far |= {charge: hours * vehicle.charge_efficiency, discharge: -hours / vehicle.discharge_efficiency}
            low = stay.departure_min_kwh if step == stay.end - 1 else 0.0
            program.row(dict(so_far), low - stay.arrival_kwh, vehicle.capacity_kwh - stay.arrival_kwh)
            balance[step] |= {charge: -1.0, discharge: 1.0}


def _heat_pump(program: Program, balance: list[Row], pump: HeatPump, hours: float) -> None:
    """dT/dt = (heat - UA (T - T_out)) / C solved exactly for a constant right-hand side."""
    capacity, loss = pump.heat_capacity_kwh_per_c, pump.heat_loss_kw_per_c
    kept = np.exp(-loss * hours / capacity)
    gain = (1 - kept) / loss if loss else hours / capacity
    before = None
    for step, row in enumerate(balance):
        power = program.column(0, pump.power_kw)
        temperature = program.column(-np.inf, np.inf)
        discomfort = program.column(0, np.inf, hours * pump.discomfort_per_c_hour)
        known = (1 - kept) * pump.outdoor_c[step] + gain * pump.gains_kw[step]
        change = {temperature: 1.0, power: -gain * pump.cop[step]}
        if before is None:
            known += kept * pump.initial_c
        else:
            change[before] = -kept
        program.row(change, known, known)
        program.row({temperature: 1, discomfort: 1}, pump.comfort_min_c[step], np.inf)
        program.row({temperature: 1, discomfort: -1}, -np.inf, pump.comfort_max_c[step])
        row[power] = -1.0
        before = temperature


def _load(program: Program, balance: list[Row], load: ShiftableLoad, hours: float) -> None:
    total: Row = {}
    for step in range(load.first, load.end):
        power = program.column(0, load.power_kw)
        on = program.column(0, 1, whole=True)
        program.row({power: 1, on: -load.power_kw}, -np.inf, 0)
        program.row({power: 1, on: -load.minimum_power_kw}, 0, np.inf)
        total[power] = hours
        balance[step][power] = -1.0
    program.row(total, load.energy_kwh, load.energy_kwh)


def _run(program: Program, balance: list[Row], run: ShiftableRun) -> None:
    starts: Row = {}
    for first in range(run.first, run.end - len(run.profile_kw) + 1):
        start = program.column(0, 1, whole=True)
        starts[start] = 1.0
        for offset, power in enumerate(run.profile_kw):
            balance[first + offset][start] = -power
    program.row(starts, 1, 1)

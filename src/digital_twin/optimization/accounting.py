"""What a use of the storage, the PV and the devices means for the registers and the bill: plain numpy, no solver."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.sharing import Registers, SharingRule, allocate
from digital_twin.domain.units import Array
from digital_twin.optimization.device_accounting import figures_of, storage_cost, stored_kwh
from digital_twin.optimization.devices import DeviceUse
from digital_twin.optimization.plan import DispatchProblem, Schedule, Weights

ENERGY_TOLERANCE_KWH = 1e-6
"""A milliwatt-hour: far below any meter, far above rounding in a year of sums."""


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Everything that follows from charge, discharge, curtailment and the use of the devices."""

    soc_kwh: Array  # (T,)
    import_kw: Array  # (T,)
    export_kw: Array  # (T,)
    net_import_kw: Array  # (T,) what the connection to the grid carries; only this may be negative
    shared_kwh: Array | None  # (K,)


def flows(
    problem: DispatchProblem,
    charge_kw: Array,
    discharge_kw: Array,
    curtailed_kw: Array,
    devices: Sequence[DeviceUse] = (),
) -> Flows:
    """Registers, state of charge and shared energy of a use of the devices."""
    outlook, hours = problem.outlook, problem.outlook.grid.step_hours
    soc_kwh = stored_kwh(problem.storage, charge_kw, discharge_kw, hours)
    taken_kw = sum((use.charge_kw for use in devices), start=charge_kw)
    given_kw = sum((use.discharge_kw for use in devices), start=discharge_kw)
    net_kw = outlook.load_kw - outlook.pv_kw + curtailed_kw + taken_kw - given_kw
    if problem.exchange is None:
        return Flows(soc_kwh, np.maximum(net_kw, 0.0), np.maximum(-net_kw, 0.0), net_kw, None)
    registers = _with_storage(problem, taken_kw, given_kw)
    shared = _allocated(problem, registers)
    return Flows(soc_kwh, registers.import_kwh.sum(0) / hours, registers.export_kwh.sum(0) / hours, net_kw, shared)


def _with_storage(problem: DispatchProblem, taken_kw: Array, given_kw: Array) -> Registers:
    """Storage and devices as one more connection point."""
    assert problem.exchange is not None
    hours = problem.outlook.grid.step_hours
    return Registers(
        import_kwh=hours * np.vstack([problem.exchange.import_kw, taken_kw]),
        export_kwh=hours * np.vstack([problem.exchange.export_kw, given_kw]),
    )


def _allocated(problem: DispatchProblem, registers: Registers) -> Array:
    exchange = problem.exchange
    assert exchange is not None
    settled = registers.per_settlement_interval(problem.settlement_steps)
    coefficients = None
    if exchange.rule in (SharingRule.STATIC, SharingRule.HYBRID) and exchange.coefficients is not None:
        coefficients = np.append(exchange.coefficients, 0.0)  # the storage has no fixed share
    return allocate(exchange.rule, settled, coefficients).shared_kwh


def gain_per_settlement(problem: DispatchProblem) -> Array:
    """The worth of a shared kWh in each settlement interval."""  # (K,)
    assert problem.exchange is not None
    return problem.exchange.gain_per_kwh.reshape(-1, problem.settlement_steps).mean(axis=1)


def cost_of(problem: DispatchProblem, made: Flows, charge_kw: Array, discharge_kw: Array) -> float:
    """Imports less exports less the gain on shared energy, plus what the storage, new peaks and passed limits cost."""
    outlook, hours = problem.outlook, problem.outlook.grid.step_hours
    energy = outlook.import_price_per_kwh @ made.import_kw - outlook.export_price_per_kwh @ made.export_kw
    moved_kwh = hours * float(charge_kw.sum() + discharge_kw.sum())
    cost = hours * float(energy) + storage_cost(problem.storage, made.soc_kwh, moved_kwh)
    if made.shared_kwh is not None:
        cost -= float(gain_per_settlement(problem) @ made.shared_kwh)
    if problem.peak is not None:
        cost += problem.peak.per_kw * max(0.0, _peak(made) - problem.peak.so_far_kw)
    if problem.limits.beyond_per_kwh is not None:
        cost += problem.limits.beyond_per_kwh * _beyond_limits_kwh(problem, made)
    return cost


def _beyond_limits_kwh(problem: DispatchProblem, made: Flows) -> float:
    limits = problem.limits
    beyond_kw = np.maximum(made.net_import_kw - limits.import_kw, 0.0)
    beyond_kw = beyond_kw + np.maximum(-made.net_import_kw - limits.export_kw, 0.0)
    return problem.outlook.grid.step_hours * float(beyond_kw.sum())


def _peak(made: Flows) -> float:
    return max(float(made.net_import_kw.max()), 0.0)


def account(
    problem: DispatchProblem,
    weights: Weights,
    charge_kw: Array,
    discharge_kw: Array,
    curtailed_kw: Array,
    devices: tuple[DeviceUse, ...] = (),
) -> Schedule:
    """The schedule with its figures, evaluated exactly.

    Reported emissions are import x factor without credit for exports; deciding ones are factor x (import - export).
    """
    made = flows(problem, charge_kw, discharge_kw, curtailed_kw, devices)
    outlook, hours = problem.outlook, problem.outlook.grid.step_hours
    figures = figures_of(problem.devices, devices, hours)
    cost = cost_of(problem, made, charge_kw, discharge_kw) + figures.cost
    deciding_kg = hours * float(outlook.emission_factor_kg_per_kwh @ made.net_import_kw)
    exported_kwh = hours * float(made.export_kw.sum() + curtailed_kw.sum())
    objective = (
        weights.cost * cost
        + weights.emissions * deciding_kg
        + weights.peak * _peak(made)
        + weights.exported * exported_kwh
        + figures.discomfort_cost
    )
    left = _left_after_sharing(problem, made, curtailed_kw)
    return Schedule(
        charge_kw=charge_kw,
        discharge_kw=discharge_kw,
        soc_kwh=made.soc_kwh,
        import_kw=made.import_kw,
        export_kw=made.export_kw,
        curtailed_kw=curtailed_kw,
        shared_kwh=made.shared_kwh,
        cost=cost,
        emissions_kg=float(left.factor @ left.import_kwh),
        peak_kw=_peak(made),
        self_consumption=left.self_consumption(),
        self_sufficiency=left.self_sufficiency(figures.consumed_kwh),
        objective_value=objective,
        devices=devices,
        beyond_limits_kwh=_beyond_limits_kwh(problem, made) if problem.limits.beyond_per_kwh is not None else 0.0,
        discomfort_c_hours=figures.discomfort_c_hours,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Left:
    """Imports and exports after the shared energy, per settlement interval."""

    import_kwh: Array  # (K,)
    export_kwh: Array  # (K,)
    pv_kwh: Array  # (K,)
    load_kwh: Array  # (K,)
    curtailed_kwh: Array  # (K,)
    factor: Array  # (K,)

    def self_consumption(self) -> float:
        """Share of the generation that is used on site; exports are attributed to PV first; 1 without generation."""
        available = self.pv_kwh.sum()
        if available <= ENERGY_TOLERANCE_KWH:
            return 1.0
        exported = np.minimum(self.export_kwh, self.pv_kwh - self.curtailed_kwh)
        return min(max(1 - float(exported.sum() + self.curtailed_kwh.sum()) / float(available), 0.0), 1.0)

    def self_sufficiency(self, devices_kwh: float) -> float:
        """Share of the load, that of devices among it, that needs no import; 1 without load."""
        load = self.load_kwh.sum() + devices_kwh
        return 1.0 if load <= ENERGY_TOLERANCE_KWH else float(1 - self.import_kwh.sum() / load)


def _left_after_sharing(problem: DispatchProblem, made: Flows, curtailed_kw: Array) -> _Left:
    outlook, hours, block = problem.outlook, problem.outlook.grid.step_hours, problem.settlement_steps

    def settled(values: Array) -> Array:
        return values if block == 1 else values.reshape(-1, block).sum(axis=1)

    shared = 0.0 if made.shared_kwh is None else made.shared_kwh
    return _Left(
        import_kwh=hours * settled(made.import_kw) - shared,
        export_kwh=hours * settled(made.export_kw) - shared,
        pv_kwh=hours * settled(outlook.pv_kw),
        load_kwh=hours * settled(outlook.load_kw),
        curtailed_kwh=hours * settled(curtailed_kw),
        factor=settled(outlook.emission_factor_kg_per_kwh) / block,
    )

"""The dispatch model in CVXPY, one function per asset.

Each function adds its variables, the physics that always hold, its named limits and what it supplies. A new device is
a dataclass in `devices` and a function in `device_blocks`.
"""

from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.units import Array
from digital_twin.optimization.accounting import gain_per_settlement
from digital_twin.optimization.device_blocks import (
    DeviceShape,
    StorageShape,
    add_device,
    device_numbers,
    device_prices,
    device_shape,
    prefix_of,
    storage,
    storage_numbers,
    storage_prices,
)
from digital_twin.optimization.devices import Battery, ElectricVehicle, HeatPump, ShiftableLoad, ShiftableRun
from digital_twin.optimization.model import Model, Numbers
from digital_twin.optimization.plan import DispatchProblem, Weights

IDLE_WEIGHT = Weights(cost=1e-12)
"""Marks the last stage of a plan: all else equal, leave the devices alone."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What fixes the matrix of the model; problems of one shape differ in vectors only."""

    steps: int
    step_hours: float
    charge_efficiency: float
    discharge_efficiency: float
    rule: SharingRule | None
    settlement_steps: int
    coefficients: tuple[float, ...]
    has_peak: bool
    has_priced_limits: bool
    devices: tuple[DeviceShape, ...]

    @classmethod
    def of(cls, problem: DispatchProblem, weights: Weights | None = None) -> "Shape":
        """The shape of a problem; the peak is in it only where the tariff or the weights price it."""
        exchange = problem.exchange
        fixed = exchange is not None and exchange.rule is SharingRule.STATIC and exchange.coefficients is not None
        return cls(
            steps=problem.outlook.grid.steps,
            step_hours=problem.outlook.grid.step_hours,
            charge_efficiency=problem.storage.charge_efficiency,
            discharge_efficiency=problem.storage.discharge_efficiency,
            rule=None if exchange is None else exchange.rule,
            settlement_steps=problem.settlement_steps,
            coefficients=tuple(exchange.coefficients) if fixed and exchange.coefficients is not None else (),  # type: ignore[union-attr]
            has_peak=problem.peak is not None or (weights is not None and weights.peak > 0),
            has_priced_limits=problem.limits.beyond_per_kwh is not None,
            devices=tuple(device_shape(device, problem.outlook.grid.step_hours) for device in problem.devices),
        )


def build(shape: Shape) -> Model:
    """The whole model of a community."""
    model = Model(shape.steps, shape.step_hours)
    storage(model, "", StorageShape(shape.charge_efficiency, shape.discharge_efficiency))
    for index, device in enumerate(shape.devices):
        add_device(model, index, device)
    photovoltaics(model)
    grid(model, shape)
    if shape.has_peak:
        peak(model, shape)
    if shape.rule is not None:
        sharing(model, shape)
    balance = sum(model.supply_kw[1:], start=model.supply_kw[0])
    model.constraints.append(balance == model.parameter("net_load_kw", shape.steps))
    return model


def photovoltaics(model: Model) -> None:
    """Generation is in the net load; what is curtailed is missing from it, at most what there is."""
    curtailed = model.variable("curtailed_kw", model.steps)
    model.supply_kw.append(-curtailed)


def grid(model: Model, shape: Shape) -> None:
    """The connection: the limits are bounds, so their worth is a reduced cost; what goes beyond comes apart."""
    model.supply_kw.append(model.variable("import_kw", model.steps) - model.variable("export_kw", model.steps))
    if shape.has_priced_limits:
        beyond = model.variable("import_beyond_kw", model.steps) - model.variable("export_beyond_kw", model.steps)
        model.supply_kw.append(beyond)


def peak(model: Model, shape: Shape) -> None:
    """The highest import, and the one that is billed: never below the peak of the period so far."""
    highest = model.variable("peak_kw", 1)
    billed = model.variable("billed_peak_kw", 1)
    imported = model.variables["import_kw"]
    model.constraints.append(
        (imported + model.variables["import_beyond_kw"] if shape.has_priced_limits else imported) <= highest
    )
    model.constraints.append(highest <= billed)


def sharing(model: Model, shape: Shape) -> None:
    """Shared energy is at most what is imported, and what is exported, in each settlement interval.

    With fixed shares every member is bounded by its own import and by its share of the exports.
    """
    if shape.rule is SharingRule.NONE:
        return
    settlements = shape.steps // shape.settlement_steps
    per_settlement = np.kron(np.eye(settlements), np.full((1, shape.settlement_steps), shape.step_hours))
    exported = per_settlement @ sum(model.given_kw) + model.parameter("members_export_kwh", settlements)
    if shape.rule is SharingRule.STATIC:
        for member, coefficient in enumerate(shape.coefficients):
            received = model.variable(f"received_{member}_kwh", settlements)
            model.constraints.append(received <= coefficient * exported)
        return
    imported = per_settlement @ sum(model.taken_kw) + model.parameter("members_import_kwh", settlements)
    shared = model.variable("shared_kwh", settlements)
    model.constraints.append(shared <= imported)
    model.constraints.append(shared <= exported)


def numbers_of(problem: DispatchProblem) -> Numbers:
    """The vectors of a problem that do not depend on the objective; every variable has bounds on both sides."""
    outlook, limits = problem.outlook, problem.limits
    steps, hours = outlook.grid.steps, outlook.grid.step_hours
    parts = [storage_numbers(problem.storage, "", steps, hours)]
    parts += [device_numbers(index, device, steps, hours) for index, device in enumerate(problem.devices)]
    net_kw = outlook.load_kw - outlook.pv_kw
    numbers = Numbers(
        {"net_load_kw": net_kw},
        {},
        {
            "curtailed_kw": outlook.pv_kw if problem.curtailable else np.zeros(steps),
            "import_kw": np.full(steps, limits.import_kw),
            "export_kw": np.full(steps, limits.export_kw),
        },
    )
    for part in parts:
        numbers = numbers.joined(part)
    return _with_sharing(problem, _with_peak(problem, _with_priced_limits(problem, numbers)))


def _with_priced_limits(problem: DispatchProblem, numbers: Numbers) -> Numbers:
    if problem.limits.beyond_per_kwh is None:
        return numbers
    outlook = problem.outlook
    taken, given = most_powers(problem)
    most = {"import_beyond_kw": outlook.load_kw + taken, "export_beyond_kw": outlook.pv_kw + given}
    return replace(numbers, upper=numbers.upper | most)


def _with_peak(problem: DispatchProblem, numbers: Numbers) -> Numbers:
    most = numbers.upper["import_kw"] + numbers.upper.get("import_beyond_kw", 0.0)
    so_far_kw = problem.peak.so_far_kw if problem.peak else 0.0
    highest = np.array([most.max()])
    return replace(
        numbers,
        lower=numbers.lower | {"billed_peak_kw": np.array([so_far_kw])},
        upper=numbers.upper | {"peak_kw": highest, "billed_peak_kw": np.maximum(highest, so_far_kw)},
    )


def most_powers(problem: DispatchProblem) -> tuple[float, float]:
    """What storage and devices may take and give together at most."""
    taken = given = problem.storage.power_kw
    for device in problem.devices:
        match device:
            case Battery():
                taken, given = taken + device.storage.power_kw, given + device.storage.power_kw
            case ElectricVehicle():
                taken, given = taken + device.power_kw, given + device.power_kw * device.vehicle_to_grid
            case HeatPump() | ShiftableLoad():
                taken += device.power_kw
            case ShiftableRun():
                taken += max(device.profile_kw)
    return taken, given


def _with_sharing(problem: DispatchProblem, numbers: Numbers) -> Numbers:
    """The members' registers in each settlement interval as right-hand sides, and upper bounds of what is shared."""
    exchange = problem.exchange
    if exchange is None or exchange.rule is SharingRule.NONE:
        return numbers
    hours, steps = problem.outlook.grid.step_hours, problem.settlement_steps
    members = exchange.import_kw.shape[0]
    imports = hours * exchange.import_kw.reshape(members, -1, steps).sum(axis=2)
    exports = hours * exchange.export_kw.reshape(members, -1, steps).sum(axis=2)
    sides = {"members_export_kwh": exports.sum(axis=0)}
    if exchange.rule is SharingRule.STATIC:
        upper = {f"received_{member}_kwh": imports[member] for member in range(members)}
    else:
        sides["members_import_kwh"] = imports.sum(axis=0)
        upper = {"shared_kwh": imports.sum(axis=0) + steps * hours * most_powers(problem)[0]}
    return replace(numbers, right_hand_sides=numbers.right_hand_sides | sides, upper=numbers.upper | upper)


def prices_of(problem: DispatchProblem, weights: Weights) -> dict[str, Array]:
    """What each variable costs under the weights."""
    if weights is IDLE_WEIGHT:
        return _idle_prices(problem)
    outlook, hours = problem.outlook, problem.outlook.grid.step_hours
    ones = np.ones(outlook.grid.steps)
    carbon = weights.emissions * outlook.emission_factor_kg_per_kwh
    buying = weights.cost * outlook.import_price_per_kwh
    selling = weights.cost * outlook.export_price_per_kwh
    if problem.exchange is None:
        importing, exporting = hours * (buying + carbon), hours * (weights.exported - selling - carbon)
        taking, giving = 0.0 * ones, 0.0 * ones
    else:
        # the registers are priced where they move with the storage; the connection itself only carries the carbon
        importing, exporting = hours * carbon, -hours * carbon
        taking, giving = hours * buying, hours * (weights.exported - selling)
    prices = _storage_prices(problem, weights, taking, giving)
    prices |= {"curtailed_kw": hours * weights.exported * ones, "import_kw": importing, "export_kw": exporting}
    if problem.limits.beyond_per_kwh is not None:
        beyond = hours * weights.cost * problem.limits.beyond_per_kwh
        prices |= {"import_beyond_kw": importing + beyond, "export_beyond_kw": exporting + beyond}
    if weights.peak:
        prices["peak_kw"] = np.array([weights.peak])
    if problem.peak is not None:
        prices["billed_peak_kw"] = np.array([weights.cost * problem.peak.per_kw])
    return prices | _sharing_prices(problem, weights)


def _storage_prices(problem: DispatchProblem, weights: Weights, taking: Array, giving: Array) -> dict[str, Array]:
    """Of the storage and the devices: wear, what is left at the end, and their registers."""
    hours = problem.outlook.grid.step_hours
    prices = storage_prices(problem.storage, "", taking, giving, cost=weights.cost, step_hours=hours)
    for index, device in enumerate(problem.devices):
        prices |= device_prices(device, prefix_of(index), taking, giving, cost=weights.cost, step_hours=hours)
    return prices


def _sharing_prices(problem: DispatchProblem, weights: Weights) -> dict[str, Array]:
    if problem.exchange is None or problem.exchange.rule is SharingRule.NONE:
        return {}
    gain = -weights.cost * gain_per_settlement(problem)
    if problem.exchange.rule is SharingRule.STATIC:
        return {f"received_{member}_kwh": gain for member in range(problem.exchange.import_kw.shape[0])}
    return {"shared_kwh": gain}


def constant_of(problem: DispatchProblem, weights: Weights) -> float:
    """What the objective holds whatever is decided.

    The members' own registers, less the peak that is paid already, and the energy that must be left at the end.
    """
    constant = 0.0
    if problem.peak is not None:
        constant -= weights.cost * problem.peak.per_kw * problem.peak.so_far_kw
    for one in problem.storages:
        constant += weights.cost * one.end_value_per_kwh * one.final_min_kwh
    if problem.exchange is not None:
        outlook, exchange = problem.outlook, problem.exchange
        bought, sold = exchange.import_kw.sum(axis=0), exchange.export_kw.sum(axis=0)
        trade = outlook.import_price_per_kwh @ bought - outlook.export_price_per_kwh @ sold
        constant += outlook.grid.step_hours * float(weights.cost * trade + weights.exported * sold.sum())
    return constant


def _idle_prices(problem: DispatchProblem) -> dict[str, Array]:
    """Only what may rest counts: a load that must run is no use of a device."""
    ones = np.ones(problem.outlook.grid.steps)
    prices = {"charge_kw": ones, "discharge_kw": ones, "curtailed_kw": ones}
    for index, device in enumerate(problem.devices):
        prefix = prefix_of(index)
        if isinstance(device, Battery | ElectricVehicle):
            prices |= {f"{prefix}charge_kw": ones, f"{prefix}discharge_kw": ones}
        elif isinstance(device, HeatPump):
            prices[f"{prefix}charge_kw"] = ones
    return prices

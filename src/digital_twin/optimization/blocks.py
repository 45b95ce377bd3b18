"""The dispatch model in CVXPY, one function per asset.

Each function adds its variables, the physics that always hold, its named limits and what it supplies. A new asset is
a dataclass in `plan` and a function here. What changes from call to call is kept out of the matrix: right-hand sides
are parameters, bounds and prices are plain vectors (`Numbers`), so one canonicalisation serves every call of a shape.
"""

from dataclasses import dataclass, field

import cvxpy as cp
import numpy as np

from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.units import Array
from digital_twin.optimization.accounting import gain_per_settlement
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
        )


@dataclass(slots=True)
class Model:
    """A model under construction."""

    shape: Shape
    variables: dict[str, cp.Variable] = field(default_factory=dict[str, cp.Variable])
    parameters: dict[str, cp.Parameter] = field(default_factory=dict[str, cp.Parameter])
    constraints: list[cp.Constraint] = field(default_factory=list[cp.Constraint])
    supply_kw: list[cp.Expression] = field(default_factory=list[cp.Expression])

    def variable(self, name: str, size: int) -> cp.Variable:
        """A variable; its bounds (0 and infinity unless `Numbers` says otherwise) come with each problem."""
        made = self.variables[name] = cp.Variable(size, name=name)
        return made

    def parameter(self, name: str, size: int) -> cp.Parameter:
        """A right-hand side."""
        made = self.parameters[name] = cp.Parameter(size, name=name)
        return made


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """One problem as vectors by name: right-hand sides of parameters, bounds of variables."""

    right_hand_sides: dict[str, Array]
    lower: dict[str, Array]
    upper: dict[str, Array]


def build(shape: Shape) -> Model:
    """The whole model of a community."""
    model = Model(shape)
    storage(model)
    photovoltaics(model)
    grid(model)
    if shape.has_peak:
        peak(model)
    if shape.rule is not None:
        sharing(model)
    balance = sum(model.supply_kw[1:], start=model.supply_kw[0])
    model.constraints.append(balance == model.parameter("net_load_kw", shape.steps))
    return model


def storage(model: Model) -> None:
    """soc' = soc + h (eta_c charge - discharge / eta_d); power on the AC side, energy within the capacity."""
    steps, hours = model.shape.steps, model.shape.step_hours
    charge = model.variable("charge_kw", steps)
    discharge = model.variable("discharge_kw", steps)
    soc = model.variable("soc_kwh", steps)
    stored = hours * (model.shape.charge_efficiency * charge - (1 / model.shape.discharge_efficiency) * discharge)
    initial = model.parameter("initial_kwh", 1)
    model.constraints.append(soc[:1] - stored[:1] == initial)
    if steps > 1:
        model.constraints.append(soc[1:] - soc[:-1] - stored[1:] == 0)
    model.supply_kw.append(discharge - charge)


def photovoltaics(model: Model) -> None:
    """Generation is in the net load; what is curtailed is missing from it, at most what there is."""
    curtailed = model.variable("curtailed_kw", model.shape.steps)
    model.supply_kw.append(-curtailed)


def grid(model: Model) -> None:
    """The connection: the limits are bounds, so their worth is a reduced cost."""
    imported = model.variable("import_kw", model.shape.steps)
    exported = model.variable("export_kw", model.shape.steps)
    model.supply_kw.append(imported - exported)


def peak(model: Model) -> None:
    """The highest import, and the one that is billed: never below the peak of the period so far."""
    highest = model.variable("peak_kw", 1)
    billed = model.variable("billed_peak_kw", 1)
    model.constraints.append(model.variables["import_kw"] <= highest)
    model.constraints.append(highest <= billed)


def sharing(model: Model) -> None:
    """Shared energy is at most what is imported, and what is exported, in each settlement interval.

    With fixed shares every member is bounded by its own import and by its share of the exports.
    """
    shape = model.shape
    if shape.rule is SharingRule.NONE:
        return
    settlements = shape.steps // shape.settlement_steps
    per_settlement = np.kron(np.eye(settlements), np.full((1, shape.settlement_steps), shape.step_hours))
    exported = per_settlement @ model.variables["discharge_kw"] + model.parameter("members_export_kwh", settlements)
    if shape.rule is SharingRule.STATIC:
        for member, coefficient in enumerate(shape.coefficients):
            received = model.variable(f"received_{member}_kwh", settlements)
            model.constraints.append(received <= coefficient * exported)
        return
    imported = per_settlement @ model.variables["charge_kw"] + model.parameter("members_import_kwh", settlements)
    shared = model.variable("shared_kwh", settlements)
    model.constraints.append(shared <= imported)
    model.constraints.append(shared <= exported)


def apply_numbers(model: Model, numbers: Numbers) -> None:
    """Write the numbers into a CVXPY model that is to be solved by CVXPY itself."""
    for name, parameter in model.parameters.items():
        parameter.value = numbers.right_hand_sides[name]
    for name, variable in model.variables.items():
        model.constraints.append(variable >= numbers.lower.get(name, 0.0))
        if name in numbers.upper:
            model.constraints.append(variable <= numbers.upper[name])


def numbers_of(problem: DispatchProblem) -> Numbers:
    """The vectors of a problem that do not depend on the objective."""
    outlook, store, limits = problem.outlook, problem.storage, problem.limits
    ones = np.ones(outlook.grid.steps)
    soc_min = np.zeros(outlook.grid.steps)
    soc_min[-1] = store.final_min_kwh
    billed = {"billed_peak_kw": np.array([problem.peak.so_far_kw])} if problem.peak else {}
    sharing_sides, sharing_upper = _sharing_numbers(problem)
    return Numbers(
        right_hand_sides={
            "initial_kwh": np.array([store.initial_kwh]),
            "net_load_kw": outlook.load_kw - outlook.pv_kw,
            **sharing_sides,
        },
        lower={"soc_kwh": soc_min, **billed},
        upper={
            "charge_kw": store.power_kw * ones,
            "discharge_kw": store.power_kw * ones,
            "soc_kwh": store.capacity_kwh * ones,
            "curtailed_kw": outlook.pv_kw if problem.curtailable else 0.0 * ones,
            "import_kw": limits.import_kw * ones,
            "export_kw": limits.export_kw * ones,
            **sharing_upper,
        },
    )


def _sharing_numbers(problem: DispatchProblem) -> tuple[dict[str, Array], dict[str, Array]]:
    """The members' registers in each settlement interval as right-hand sides, and upper bounds of what is received."""
    exchange = problem.exchange
    if exchange is None or exchange.rule is SharingRule.NONE:
        return {}, {}
    hours = problem.outlook.grid.step_hours
    members = exchange.import_kw.shape[0]
    imports = hours * exchange.import_kw.reshape(members, -1, problem.settlement_steps).sum(axis=2)
    exports = hours * exchange.export_kw.reshape(members, -1, problem.settlement_steps).sum(axis=2)
    sides = {"members_export_kwh": exports.sum(axis=0)}
    if exchange.rule is SharingRule.STATIC:
        return sides, {f"received_{member}_kwh": imports[member] for member in range(members)}
    return sides | {"members_import_kwh": imports.sum(axis=0)}, {}


def prices_of(problem: DispatchProblem, weights: Weights) -> dict[str, Array]:
    """What each variable costs under the weights."""
    if weights is IDLE_WEIGHT:
        return _idle_prices(problem)
    outlook, hours = problem.outlook, problem.outlook.grid.step_hours
    ones = np.ones(outlook.grid.steps)
    carbon = weights.emissions * outlook.emission_factor_kg_per_kwh
    buying = weights.cost * outlook.import_price_per_kwh
    selling = weights.cost * outlook.export_price_per_kwh
    wear = weights.cost * problem.storage.wear_per_kwh
    prices = {
        "charge_kw": hours * wear * ones,
        "discharge_kw": hours * wear * ones,
        "curtailed_kw": hours * weights.exported * ones,
    }
    if weights.peak:
        prices["peak_kw"] = np.array([weights.peak])
    if problem.peak is not None:
        prices["billed_peak_kw"] = np.array([weights.cost * problem.peak.per_kw])
    if problem.exchange is None:
        prices["import_kw"] = hours * (buying + carbon)
        prices["export_kw"] = hours * (weights.exported - selling - carbon)
        return prices
    # the registers are priced where they move with the storage; the connection itself only carries the carbon
    prices["charge_kw"] = prices["charge_kw"] + hours * buying
    prices["discharge_kw"] = prices["discharge_kw"] + hours * (weights.exported - selling)
    prices["import_kw"] = hours * carbon
    prices["export_kw"] = -hours * carbon
    gain = -weights.cost * gain_per_settlement(problem)
    match problem.exchange.rule:
        case SharingRule.NONE:
            return prices
        case SharingRule.STATIC:
            return prices | {f"received_{member}_kwh": gain for member in range(problem.exchange.import_kw.shape[0])}
        case _:
            return prices | {"shared_kwh": gain}


def constant_of(problem: DispatchProblem, weights: Weights) -> float:
    """What the objective holds whatever is decided: the members' own registers, less the peak that is paid already."""
    constant = 0.0
    if problem.peak is not None:
        constant -= weights.cost * problem.peak.per_kw * problem.peak.so_far_kw
    if problem.exchange is not None:
        outlook, exchange = problem.outlook, problem.exchange
        bought, sold = exchange.import_kw.sum(axis=0), exchange.export_kw.sum(axis=0)
        trade = outlook.import_price_per_kwh @ bought - outlook.export_price_per_kwh @ sold
        constant += outlook.grid.step_hours * float(weights.cost * trade + weights.exported * sold.sum())
    return constant


def _idle_prices(problem: DispatchProblem) -> dict[str, Array]:
    ones = np.ones(problem.outlook.grid.steps)
    return {"charge_kw": ones, "discharge_kw": ones, "curtailed_kw": ones}

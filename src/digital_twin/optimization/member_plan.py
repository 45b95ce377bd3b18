"""A plan for every member and what it means for each: their powers, what they pay, and what they save."""

import json
from dataclasses import dataclass, fields, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.check import cost_of, violations
from digital_twin.optimization.fleet.dispatch import plan_fleet
from digital_twin.optimization.fleet.plan import Flags, FleetPlan, FleetProblem, Whole
from digital_twin.optimization.member_rules import (
    FleetUse,
    MemberPrices,
    at_the_connection,
    by_own_rules,
    member_costs,
)

ACTIVE_KW = 0.01
"""A member who charges less is not counted as one who charges."""


@dataclass(frozen=True, slots=True, eq=False)
class MembersQuestion:
    """A fleet, whose prices are those of the objective, with what is paid and emitted.

    The last row may stand for all who are not members; `members` says how many of the rows are.
    """

    fleet: FleetProblem
    prices: MemberPrices
    emission_factor_kg_per_kwh: Array  # (T,)
    vehicles: Flags  # (B,) which of the storages are vehicles
    members: int


@dataclass(frozen=True, slots=True, eq=False)
class MembersAnswer:
    """The plan by member and of all, beside what everyone's own rule would have cost."""

    powers: NDArray[np.float32]  # (N, 6, T): load, PV, charge, discharge, what is stored, curtailed
    cost: Array  # (N,)
    saved: Array  # (N,) against the own self-consumption rule
    has_storage: Flags  # (N,)
    charging: Whole  # (T,) members who charge
    discharging: Whole  # (T,)
    totals_kw: Array  # (6, T) of all rows, as powers
    import_kw: Array  # (T,) at the community's connection
    export_kw: Array  # (T,)
    value_per_kwh: Array  # (T,) of one more kWh within the community
    rule_import_kw: Array  # (T,) under everyone's own rules
    rule_export_kw: Array  # (T,)
    facts: dict[str, Any]  # cost, rule_cost, rule_breaks, emissions_kg, objective_value, lower_bound, gap, status, ...

    def to_bytes(self) -> bytes:
        """As a Run keeps it."""
        buffer = BytesIO()
        arrays = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "facts"}
        np.savez(buffer, facts=np.frombuffer(json.dumps(self.facts).encode(), dtype=np.uint8), **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, payload: bytes) -> "MembersAnswer":
        with np.load(BytesIO(payload)) as kept:
            arrays = {name: kept[name] for name in kept.files if name != "facts"}
            return cls(**arrays, facts=json.loads(kept["facts"].tobytes()))


def plan_members(question: MembersQuestion, *, time_limit_s: float) -> MembersAnswer:
    """The plan of the least cost for all, and what it is for each. Raises as `plan_fleet`."""
    plan = plan_fleet(question.fleet, time_limit_s=time_limit_s)
    use = FleetUse(plan.charge_kw, plan.discharge_kw, plan.soc_kwh, plan.curtailed_kw)
    rule = by_own_rules(question.fleet, question.vehicles)
    paid = replace(
        question.fleet,
        import_price_per_kwh=question.prices.import_per_kwh,
        export_price_per_kwh=question.prices.export_per_kwh,
    )
    powers, count = _by_member(question.fleet, use), question.members
    cost, rule_cost = (member_costs(paid, question.prices, each)[:count] for each in (use, rule))
    rule_plan = _as_plan(paid, plan, rule)
    return MembersAnswer(
        powers=powers[:count].astype(np.float32),
        cost=cost,
        saved=rule_cost - cost,
        has_storage=np.isin(np.arange(count), question.fleet.storages.member),
        charging=(powers[:count, 2] > ACTIVE_KW).sum(axis=0),
        discharging=(powers[:count, 3] > ACTIVE_KW).sum(axis=0),
        totals_kw=powers.sum(axis=0),
        import_kw=plan.import_kw,
        export_kw=plan.export_kw,
        value_per_kwh=plan.value_per_kwh,
        rule_import_kw=rule_plan.import_kw,
        rule_export_kw=rule_plan.export_kw,
        facts=_facts(question, paid, plan, rule_plan),
    )


def _facts(question: MembersQuestion, paid: FleetProblem, plan: FleetPlan, rule_plan: FleetPlan) -> dict[str, Any]:
    hours = question.fleet.grid.step_hours
    return {
        "cost": cost_of(paid, plan),
        "rule_cost": rule_plan.cost,
        "rule_breaks": [name for name in violations(paid, rule_plan) if "limit" in name or "fuse" in name],
        "emissions_kg": float(hours * question.emission_factor_kg_per_kwh @ plan.import_kw),
        "objective_value": plan.cost,
        "lower_bound": plan.lower_bound,
        "gap": plan.gap,
        "status": plan.status,
        "solver": plan.solver,
        "iterations": plan.iterations,
        "storages": int(question.vehicles.size),
        "vehicles": int(question.vehicles.sum()),
        "notes": list(plan.notes),
    }


def _as_plan(paid: FleetProblem, plan: FleetPlan, use: FleetUse) -> FleetPlan:
    """The rule's use in the shape of a plan, with what it costs; it claims no bound."""
    import_kw, export_kw = at_the_connection(paid, use)
    shaped = replace(
        plan, charge_kw=use.charge_kw, discharge_kw=use.discharge_kw, soc_kwh=use.soc_kwh,
        curtailed_kw=use.curtailed_kw, import_kw=import_kw, export_kw=export_kw, lower_bound=-np.inf,
    )  # fmt: skip
    return replace(shaped, cost=cost_of(paid, shaped))


def _by_member(fleet: FleetProblem, use: FleetUse) -> Array:
    """Of several storages the sum."""  # (N, 6, T)
    members, own = fleet.members, fleet.storages.member
    powers = np.zeros((members.load_kw.shape[0], 6, fleet.grid.steps))
    powers[:, 0], powers[:, 1], powers[:, 5] = members.load_kw, members.pv_kw, use.curtailed_kw
    for row, values in ((2, use.charge_kw), (3, use.discharge_kw), (4, use.soc_kwh)):
        np.add.at(powers[:, row], own, values)
    return powers

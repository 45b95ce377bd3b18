"""A plan at the level of members as the document of its result, and each member's part of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.member_plan import MembersAnswer, MembersQuestion
from digital_twin.services.ports import PLAN_COLUMNS, MemberPlan
from digital_twin.services.provenance import instant_text

KIND = "member_dispatch"

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
WORSE_OFF = 0.005
"""Of the currency: who pays less more than under their own rule is not told to be worse off."""


def fleet_document(objective: str, question: MembersQuestion, answer: MembersAnswer) -> dict[str, Any]:
    """What the plan is for all together; nobody is named."""
    fleet, facts = question.fleet, answer.facts
    document: dict[str, Any] = {
        "kind": KIND,
        "objective": objective,
        **{name: facts[name] for name in ("status", "objective_value", "lower_bound", "gap", "iterations")},
        "start": instant_text(fleet.grid.start),
        "resolution_minutes": fleet.grid.step_minutes,
        "members": question.members,
        "storages": facts["storages"] - facts["vehicles"],
        "vehicles": facts["vehicles"],
    }
    document |= {name: values.tolist() for name, values in zip(PLAN_COLUMNS, answer.totals_kw, strict=True)}
    for name in ("import_kw", "export_kw", "value_per_kwh", "charging", "discharging"):
        document[name] = getattr(answer, name).tolist()
    document |= {
        "charging_members": document.pop("charging"),
        "discharging_members": document.pop("discharging"),
        "import_price_per_kwh": question.prices.import_per_kwh.tolist(),
        "export_price_per_kwh": question.prices.export_per_kwh.tolist(),
        "rule_import_kw": answer.rule_import_kw.tolist(),
        "rule_export_kw": answer.rule_export_kw.tolist(),
        "cost": facts["cost"],
        "emissions_kg": facts["emissions_kg"],
        "peak_kw": float(answer.import_kw.max()),
        "savings": {
            "baseline": "self_consumption_rule",
            "cost_without_control": facts["rule_cost"],
            "saved": facts["rule_cost"] - facts["cost"],
            "baseline_breaks": facts["rule_breaks"],
        },
        "fairness": _fairness(answer),
    }
    return document


def member_plans(member_ids: Sequence[str], answer: MembersAnswer) -> list[MemberPlan]:
    """Each member's part."""
    numbers = zip(member_ids, answer.cost.tolist(), answer.saved.tolist(), answer.powers, strict=True)
    return [MemberPlan(*one) for one in numbers]


def _fairness(answer: MembersAnswer) -> dict[str, Any]:
    """How far apart members are in what they save against their own self-consumption rule."""
    saved, own = answer.saved, answer.has_storage
    return {
        "saved_quantiles": {f"{level:g}": float(np.quantile(saved, level)) for level in QUANTILES},
        "worse_off_members": int((saved < -WORSE_OFF).sum()),
        "mean_saved_with_storage": _mean(saved[own]),
        "mean_saved_without_storage": _mean(saved[~own]),
        "members_with_storage": int(own.sum()),
        "shared_by_nobody": answer.facts["rule_cost"] - answer.facts["cost"] - float(saved.sum()),
    }


def _mean(values: Array) -> float | None:
    return float(values.mean()) if values.size else None

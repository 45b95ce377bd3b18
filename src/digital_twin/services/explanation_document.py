"""An explanation as the document that is answered."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.services.provenance import instant_text

if TYPE_CHECKING:
    from digital_twin.optimization.explanation.explain import Explanation
    from digital_twin.optimization.explanation.explain_groups import MembersExplanation, RiskExplanation
    from digital_twin.optimization.explanation.limit_values import LimitValue, Side
    from digital_twin.optimization.explanation.member_values import CommunityLimit, MemberLimit
    from digital_twin.optimization.explanation.reasons import Action
    from digital_twin.optimization.explanation.risk_values import Hedging, RiskLimitValue, Tail

NAMED_MEMBERS = 10
"""So many are named, those for whom more is worth most."""


def explanation_document(grid: TimeGrid, explanation: "Explanation") -> dict[str, Any]:
    """Limits and actions, each with its numbers and its sentence."""
    return {
        "unit": explanation.unit,
        "limits": [_limit(grid, value) | {"text": text} for value, text in explanation.limits],
        "actions": [_action(grid, action) | {"text": text} for action, text in explanation.actions],
        "notes": list(explanation.notes),
    }


def risk_explanation_document(grid: TimeGrid, explanation: "RiskExplanation") -> dict[str, Any]:
    """What the bad outcomes are, what hedging costs, and what limits are worth on average and in the worst."""
    tail, tail_text = explanation.tail
    risk: dict[str, Any] = {"tail": _tail(tail) | {"text": tail_text}}
    if explanation.hedging is not None:
        hedging, text = explanation.hedging
        risk["hedging"] = _hedging(hedging) | {"text": text}
    return {
        "unit": explanation.unit,
        "limits": [_risk_limit(value) | {"text": text} for value, text in explanation.limits],
        "actions": [_action(grid, action) | {"text": text} for action, text in explanation.actions],
        "risk": risk,
        "notes": list(explanation.notes),
    }


def members_explanation_document(
    grid: TimeGrid, explanation: "MembersExplanation", member_ids: Sequence[str]
) -> dict[str, Any]:
    """What the community's limits are worth, and how many members are held back by which of their own."""
    return {
        "unit": explanation.unit,
        "limits": [_community_limit(grid, value) | {"text": text} for value, text in explanation.limits],
        "actions": [],
        "members": [_member_limit(value, member_ids) | {"text": text} for value, text in explanation.member_limits],
        "notes": list(explanation.notes),
    }


def _tail(tail: "Tail") -> dict[str, Any]:
    return {
        "share": tail.share,
        "scenarios": [
            {"scenario": int(number), "cost": float(cost)}
            for number, cost in zip(tail.scenarios, tail.cost, strict=True)
        ],
        "mean_cost": tail.mean_cost,
        "more_load_kwh": tail.more_load_kwh,
        "less_pv_kwh": tail.less_pv_kwh,
        "passing_limits": tail.passing_limits,
    }


def _hedging(hedging: "Hedging") -> dict[str, Any]:
    return {"mean_cost": hedging.mean_cost, "tail_saving": hedging.tail_saving}


def _risk_limit(value: "RiskLimitValue") -> dict[str, Any]:
    units = abs(value.change)
    side = {
        "is_possible": True,
        "objective_per_unit": value.objective / units,
        "mean_per_unit": value.mean / units,
        "tail_per_unit": value.tail / units,
        "over": units,
    }
    known = {"limit": value.limit, "unit": value.unit, "value": value.value, "intervals": 0}
    return {**known, ("more" if value.change > 0 else "less"): side}


def _community_limit(grid: TimeGrid, value: "CommunityLimit") -> dict[str, Any]:
    return {
        "limit": value.limit,
        "unit": "kW",
        "value": value.value_kw,
        "intervals": len(value.intervals),
        "first_interval": instant_text(grid.instant(value.intervals[0])),
        "more": {"is_possible": True, "objective_per_unit": -value.worth_per_kw},
    }


def _member_limit(value: "MemberLimit", member_ids: Sequence[str]) -> dict[str, Any]:
    worth = np.nan_to_num(value.worth)
    order = [int(row) for row in np.argsort(-worth, kind="stable")[:NAMED_MEMBERS] if worth[row] > 0]
    return {
        "limit": value.limit,
        "unit": value.unit,
        "members": value.held_back,
        "objective_per_unit": -value.total,
        "most_valuable": [{"member_id": member_ids[row], "objective_per_unit": -float(worth[row])} for row in order],
    }


def _limit(grid: TimeGrid, value: "LimitValue") -> dict[str, Any]:
    return {
        "limit": value.limit,
        "unit": value.unit,
        "value": value.value,
        "intervals": len(value.intervals),
        "first_interval": instant_text(grid.instant(value.intervals[0])) if value.intervals else None,
        "more": _side(value.more),
        "less": _side(value.less),
    }


def _side(side: "Side | None") -> dict[str, Any]:
    if side is None:
        return {"is_possible": False}
    if math.isnan(side.per_unit):
        return {"is_possible": True}
    return {"is_possible": True, "objective_per_unit": side.per_unit, "holds_for": side.reach}


def _action(grid: TimeGrid, action: "Action") -> dict[str, Any]:
    return {
        "device_id": action.device_id,
        "action": action.deed,
        "start": instant_text(grid.instant(action.first)),
        "end": instant_text(grid.instant(action.end)),
        "energy_kwh": action.energy_kwh,
        "price_per_kwh": action.price,
        "worth_per_kwh": action.worth,
        "is_full_power": action.is_full_power,
    }

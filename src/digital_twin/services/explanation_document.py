"""An explanation as the document that is answered."""

import math
from typing import TYPE_CHECKING, Any

from digital_twin.domain.time import TimeGrid
from digital_twin.services.provenance import instant_text

if TYPE_CHECKING:
    from digital_twin.optimization.explanation.explain import Explanation
    from digital_twin.optimization.explanation.limit_values import LimitValue, Side
    from digital_twin.optimization.explanation.reasons import Action


def explanation_document(grid: TimeGrid, explanation: "Explanation") -> dict[str, Any]:
    """Limits and actions, each with its numbers and its sentence."""
    return {
        "unit": explanation.unit,
        "limits": [_limit(grid, value) | {"text": text} for value, text in explanation.limits],
        "actions": [_action(grid, action) | {"text": text} for action, text in explanation.actions],
        "notes": list(explanation.notes),
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

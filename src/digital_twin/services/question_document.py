"""The question of a dispatch as the document that is kept beside its answer, and back."""

from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization.devices import (
    Battery,
    ElectricVehicle,
    HeatPump,
    ShiftableLoad,
    ShiftableRun,
    Stay,
    Storage,
)
from digital_twin.optimization.plan import (
    DispatchProblem,
    GridLimits,
    MemberExchange,
    Outlook,
    PeakCharge,
    Weights,
)

QUESTION = "question"
"""Where it stands in a result; nobody is answered it."""

_PARTS: dict[str, type[Any]] = {
    part.__name__: part
    for part in (
        Battery,
        DispatchProblem,
        ElectricVehicle,
        GridLimits,
        HeatPump,
        MemberExchange,
        Outlook,
        PeakCharge,
        ShiftableLoad,
        ShiftableRun,
        Stay,
        Storage,
        TimeGrid,
        Weights,
    )
}
_SUMMED = (SharingRule.NONE, SharingRule.DYNAMIC)


def question_document(problem: DispatchProblem, weights: Weights) -> dict[str, Any] | None:
    """Whatever the model depends on; None where that is what single members use.

    Under the other sharing rules the sums over members suffice, so a result holds nothing of any of them.
    """
    exchange = problem.exchange
    if exchange is not None:
        if exchange.rule not in _SUMMED:
            return None
        sums = {name: getattr(exchange, name).sum(axis=0, keepdims=True) for name in ("import_kw", "export_kw")}
        problem = replace(problem, exchange=replace(exchange, **sums))
    return {"problem": _plain(problem), "weights": _plain(weights)}


def question_from(document: dict[str, Any]) -> tuple[DispatchProblem, Weights]:
    """What `question_document` wrote."""
    return _built(document["problem"]), _built(document["weights"])


def answer_of(document: dict[str, Any]) -> dict[str, Any]:
    """A stored result as it is answered."""
    return {name: value for name, value in document.items() if name != QUESTION}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"array": value.tolist()}
    if isinstance(value, datetime):
        return {"instant": value.isoformat()}
    if isinstance(value, SharingRule):
        return {"rule": str(value)}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]  # type: ignore[reportUnknownVariableType]
    if is_dataclass(value):
        return {type(value).__name__: {one.name: _plain(getattr(value, one.name)) for one in fields(value)}}
    return value


def _built(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_built(one) for one in value)  # type: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return value
    [(name, content)] = value.items()  # type: ignore[reportUnknownVariableType]
    match name:
        case "array":
            return np.array(content, dtype=np.float64)
        case "instant":
            return datetime.fromisoformat(str(content))
        case "rule":
            return SharingRule(str(content))
        case _:
            return _PARTS[str(name)](**{one: _built(part) for one, part in content.items()})  # type: ignore[reportUnknownVariableType]

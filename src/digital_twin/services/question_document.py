"""The question of a plan as it is kept: a document in its result, or bytes beside it; and back."""

import json
import zlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from digital_twin.optimization.fleet.plan import FleetMembers, FleetProblem, FleetStorages
from digital_twin.optimization.member_plan import MembersQuestion
from digital_twin.optimization.member_rules import MemberPrices
from digital_twin.optimization.plan import (
    DispatchProblem,
    GridLimits,
    MemberExchange,
    Outlook,
    PeakCharge,
    Weights,
)
from digital_twin.optimization.stochastic.plan import Risk, Scenarios, StochasticProblem

QUESTION = "question"
"""Where it stands in a result; nobody is answered it."""

_PARTS: dict[str, type[Any]] = {
    part.__name__: part
    for part in (
        Battery,
        DispatchProblem,
        ElectricVehicle,
        FleetMembers,
        FleetProblem,
        FleetStorages,
        GridLimits,
        HeatPump,
        MemberExchange,
        MemberPrices,
        MembersQuestion,
        Outlook,
        PeakCharge,
        Risk,
        Scenarios,
        ShiftableLoad,
        ShiftableRun,
        Stay,
        StochasticProblem,
        Storage,
        TimeGrid,
        Weights,
    )
}
Kept = dict[str, Any] | bytes
_Numbers = NDArray[Any]


def question_document(problem: DispatchProblem, weights: Weights) -> dict[str, Any] | None:
    """Whatever the model depends on; None where that is what single members use, as under fixed shares.

    Under the other sharing rules the sums over members suffice, so a result holds nothing of any of them.
    """
    exchange = problem.exchange
    if exchange is not None:
        if exchange.rule is SharingRule.STATIC:
            return None
        sums = {name: getattr(exchange, name).sum(axis=0, keepdims=True) for name in ("import_kw", "export_kw")}
        rule = SharingRule.DYNAMIC if exchange.rule is SharingRule.HYBRID else exchange.rule  # they share as much
        problem = replace(problem, exchange=replace(exchange, rule=rule, coefficients=None, **sums))
    return {"problem": _plain(problem, _listed), "weights": _plain(weights, _listed)}


def question_from(document: dict[str, Any]) -> tuple[DispatchProblem, Weights]:
    """What `question_document` wrote."""
    return _built(document["problem"], _of_list), _built(document["weights"], _of_list)


def question_beside(problem: DispatchProblem | StochasticProblem, weights: Weights) -> bytes | None:
    """What a result does not hold: paths are too large for it, and what single members use is nobody's but theirs."""
    if isinstance(problem, StochasticProblem):
        return question_bytes(problem)
    return question_bytes(problem, weights) if question_document(problem, weights) is None else None


def question_bytes(*parts: Any) -> bytes:
    """Any parts of a question, every number of them as it is."""
    arrays: list[_Numbers] = []

    def put(values: _Numbers) -> int:
        arrays.append(values)
        return len(arrays) - 1

    text = json.dumps([_plain(part, put) for part in parts])
    buffer = BytesIO()
    np.savez(buffer, *arrays, text=np.frombuffer(text.encode(), dtype=np.uint8))
    return zlib.compress(buffer.getvalue(), level=1)


def question_parts(kept: Kept) -> tuple[Any, ...]:
    """What `question_document` or `question_bytes` wrote."""
    if not isinstance(kept, bytes):
        return question_from(kept)
    with np.load(BytesIO(zlib.decompress(kept))) as arrays:
        text = arrays["text"].tobytes().decode()
        return _built(json.loads(text), lambda number: arrays[f"arr_{number}"])


def _listed(values: _Numbers) -> list[float]:
    return values.tolist()


def _of_list(content: Any) -> _Numbers:
    return np.array(content, dtype=np.float64)


def answer_of(document: dict[str, Any]) -> dict[str, Any]:
    """A stored result as it is answered."""
    return {name: value for name, value in document.items() if name != QUESTION}


def _plain(value: Any, put: Callable[[_Numbers], Any]) -> Any:
    """As JSON; what `put` gives stands for an array."""
    if isinstance(value, np.ndarray):
        return {"array": put(value)}  # type: ignore[reportUnknownArgumentType]
    if isinstance(value, datetime):
        return {"instant": value.isoformat()}
    if isinstance(value, SharingRule):
        return {"rule": str(value)}
    if isinstance(value, tuple):
        return [_plain(one, put) for one in value]  # type: ignore[reportUnknownVariableType]
    if is_dataclass(value):
        return {type(value).__name__: {one.name: _plain(getattr(value, one.name), put) for one in fields(value)}}
    return value


def _built(value: Any, get: Callable[[Any], _Numbers]) -> Any:
    if isinstance(value, list):
        return tuple(_built(one, get) for one in value)  # type: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return value
    [(name, content)] = value.items()  # type: ignore[reportUnknownVariableType]
    match name:
        case "array":
            return get(content)
        case "instant":
            return datetime.fromisoformat(str(content))
        case "rule":
            return SharingRule(str(content))
        case _:
            return _PARTS[str(name)](**{one: _built(part, get) for one, part in content.items()})  # type: ignore[reportUnknownVariableType]

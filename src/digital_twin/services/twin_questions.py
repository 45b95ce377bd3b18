"""Questions to a macro twin as pure functions for the warm processes: what will be, and how does each meter fare."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin import OBSERVED, Condition
from digital_twin.services.twin_steps import MAY_REST, TwinTask, clear_sky

if TYPE_CHECKING:
    from digital_twin.macro_twin.coverage import Mask
    from digital_twin.macro_twin.model import TwinModel
    from digital_twin.macro_twin.prediction import Forecasted
    from digital_twin.macro_twin.state import TwinState
    from digital_twin.macro_twin.value import Expecting

CONSUMPTION = ("load_kw", "net_load_kw")
"""What meters are judged by: how much surer of it all one more of them would make the twin."""


@dataclass(frozen=True, slots=True)
class MeterLook:
    """One meter of one series."""

    name: str
    member_id: str
    condition: Condition
    since: datetime | None
    newest_end: datetime | None  # of the interval of its newest reading
    variance_fall_kw2: float | None  # of the next interval's demand or net load, if it reported; None for other series
    sd_fall_kw: float | None


def predict_state(task: TwinTask) -> "Forecasted":
    """The steps of the task's grid, which begins where its state ends; its readings are not looked at."""
    from digital_twin.macro_twin.felt import feel
    from digital_twin.macro_twin.model import TwinModel
    from digital_twin.macro_twin.prediction import predict_ahead
    from digital_twin.macro_twin.state import TwinState

    if task.model is None or task.state is None:
        raise ValueError("a prediction goes on from a state")
    model, state, grid = TwinModel.from_bytes(task.model), TwinState.from_bytes(task.state), task.grid
    felt_c = feel(task.temperature_c, grid.steps, before_c=state.felt_c, step_hours=grid.step_hours)
    found = predict_ahead(state, model, model.outlook(grid, clear_sky(task.setting.site, grid), felt_c))
    return replace(found, deviation=_widened(found.deviation, state.deviation, np.array(task.widening)))


def _widened(deviation: Array, of_state: Array, widening: Array) -> Array:
    """What late truth taught is of the state that a prediction starts from, and not of what moves it afterwards."""
    variance = deviation**2 + (widening**2 - 1) * of_state**2
    return np.sqrt(np.maximum(variance, np.minimum(widening, 1.0) ** 2 * deviation**2))


def look_at_meters(task: TwinTask) -> list[MeterLook]:
    """Every meter at the end of the readings, where the state ends: those first whose readings would help most."""
    from digital_twin.macro_twin.condition import conditions_of
    from digital_twin.macro_twin.model import TwinModel
    from digital_twin.macro_twin.parts import believed_meters
    from digital_twin.macro_twin.state import TwinState

    if task.model is None or task.state is None:
        raise ValueError("meters are judged by a model and where it stands")
    model, state, grid = TwinModel.from_bytes(task.model), TwinState.from_bytes(task.state), task.grid
    following = TimeGrid(grid.end, 1, grid.step_minutes)
    spread_kw = predict_state(replace(task, grid=following, temperature_c=None)).deviation[0]
    looks: list[MeterLook] = []
    for index, name in enumerate(OBSERVED):
        meters, ids = task.meters[index], model.groups[index].ids
        if not ids:
            continue
        believed = _as_the_state_judged(believed_meters(model, grid, meters, index), meters, state, index)
        found = conditions_of(meters, believed, steps_a_day=1440 // grid.step_minutes, may_rest=name in MAY_REST)
        falls = np.full((len(ids), 2), np.nan)
        if name in CONSUMPTION:
            is_whole = bool(np.isfinite(task.own[-1, index]))
            expecting = _expecting(model, state, index, float(spread_kw[index]))
            falls = np.zeros_like(falls) if is_whole else _falls(expecting, believed[-1])
        looks.extend(
            MeterLook(
                name=name,
                member_id=member_id,
                condition=word,
                since=None if since < 0 else grid.instant(int(since)),
                newest_end=None if newest < 0 else grid.instant(int(newest) + 1),
                variance_fall_kw2=None if np.isnan(fall[0]) else float(fall[0]),
                sd_fall_kw=None if np.isnan(fall[1]) else float(fall[1]),
            )
            for member_id, word, since, newest, fall in zip(
                ids, found.words, found.since, found.newest, falls, strict=True
            )
        )
    return sorted(looks, key=_most_helpful_first)


def _as_the_state_judged(believed: "Mask", meters: Array, state: "TwinState", quantity: int) -> "Mask":
    """Of each meter's newest reading the state knows whether it counted, by what it expected of the meter then."""
    from digital_twin.macro_twin.model import PANELS

    memory = state.panels[PANELS.index(quantity)] if quantity in PANELS else None
    if memory is None:
        return believed
    there = np.isfinite(meters)
    read = np.flatnonzero(there.any(axis=0))
    newest = meters.shape[0] - 1 - np.argmax(there[::-1, read], axis=0)
    judged = believed.copy()
    judged[newest, read] = memory.shown[0, read] == memory.shown[1, read]
    return judged


def _expecting(model: "TwinModel", state: "TwinState", quantity: int, spread_kw: float) -> "Expecting":
    """Of the step after the state."""
    from digital_twin.macro_twin.model import PANELS
    from digital_twin.macro_twin.state import panel_steps
    from digital_twin.macro_twin.value import expecting_of_group, expecting_of_panel

    following = TimeGrid(state.instant, 1, model.step_minutes)
    [kind], _ = panel_steps(following, model.plant.timezone, model.plant.country)
    place = PANELS.index(quantity)
    panel, memory = model.panels[place], state.panels[place]
    if panel is not None and memory is not None:
        return expecting_of_panel(panel, memory, int(kind))
    hour = int(kind) % (1440 // model.step_minutes) * model.step_minutes // 60
    return expecting_of_group(model.groups[quantity], hour, spread_kw**2)


def _falls(expecting: "Expecting", reporting: "Mask") -> Array:
    """Of variance and of standard deviation, each meter's."""  # (M, 2)
    from digital_twin.macro_twin.value import value_of_meters, variance_of_whole

    before, falls = variance_of_whole(expecting, reporting), value_of_meters(expecting, reporting)
    return np.column_stack([falls, np.sqrt(before) - np.sqrt(np.maximum(before - falls, 0.0))])


def _most_helpful_first(look: MeterLook) -> tuple[float, int, str, str]:
    return -(look.sd_fall_kw or 0.0), list(Condition).index(look.condition), look.name, look.member_id

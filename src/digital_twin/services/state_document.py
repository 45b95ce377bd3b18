"""The state as it is answered and kept, and what of it a member may see."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.macro_twin import ESTIMATED
from digital_twin.services.consistency import Consistency
from digital_twin.services.ports import StateTrack
from digital_twin.services.provenance import Provenance, instant_text
from digital_twin.services.readings import SMALLEST_SAFE_GROUP
from digital_twin.services.state_inputs import Instruments, describe
from digital_twin.services.twin_steps import TwinAnswer


def state_document(
    instruments: Instruments, provenance: Provenance, grid: TimeGrid, answer: TwinAnswer, consistency: Consistency
) -> dict[str, Any]:
    """The answer but for the question's time; `grid` is what it was read on."""
    describe(instruments, provenance)
    provenance.models["state"] = "macro_twin"
    is_prior = answer.nis is None
    if not is_prior:
        provenance.cover(grid.start, grid.end)
    for name, meters in answer.stuck.items():
        listed = ", ".join(meters[:5]) + (", ..." if len(meters) > 5 else "")
        provenance.notes.append(f"{len(meters)} {name} meters have shown one value for a day: {listed}")
    states = {
        name: {"mean": float(mean), "sd": float(deviation)}
        for name, mean, deviation in zip(ESTIMATED, answer.estimate, answer.deviation, strict=True)
    }
    return {
        "observed_at": None if is_prior else instant_text(answer.observed_at),
        "coverage": answer.coverage,
        "nis": answer.nis,
        "states": states,
        "parts": {name: {"mean": part.mean, "sd": part.deviation} for name, part in answer.parts.items()},
        "consistency": consistency.told(),
        "reporting": answer.reporting,
        "provenance": provenance.to_document(),
    }


def with_age(document: dict[str, Any], as_of: datetime) -> dict[str, Any]:
    """The answer to a question of this time."""
    observed_at = document["observed_at"]
    age_s = None if observed_at is None else (as_of - datetime.fromisoformat(observed_at)).total_seconds()
    told = {name: value for name, value in document.items() if name != "reporting"}
    return {"as_of": instant_text(as_of), "data_age_s": age_s, **told}


def for_member(document: dict[str, Any]) -> dict[str, Any]:
    """What a member may see of it: notes name single homes."""
    return document | {"provenance": document["provenance"] | {"notes": []}}


def no_history(start: datetime, end: datetime) -> StateTrack:
    """Before there is any."""
    first = floor_to_step(start, 15)
    steps = -(-(end - first) // timedelta(minutes=15))
    unknown, four = np.full(steps, np.nan), np.full((steps, len(ESTIMATED)), np.nan)
    return StateTrack(
        TimeGrid(first, steps, 15), unknown, unknown, np.zeros(steps, dtype=np.int64), four, four, unknown
    )


def safe_history(track: StateTrack) -> StateTrack:
    """Without what stands on fewer homes than a member may see sums of."""
    hidden = (track.reporting > 0) & (track.reporting < SMALLEST_SAFE_GROUP)
    return StateTrack(
        track.grid,
        np.where(hidden, np.nan, track.coverage),
        np.where(hidden, np.nan, track.nis),
        track.reporting,
        np.where(hidden[:, None], np.nan, track.mean),
        np.where(hidden[:, None], np.nan, track.deviation),
        track.told_after_h,
    )

"""What an advance leaves behind: the update that is kept, the document that is answered, and what is measured of it."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin import OBSERVED, SURE
from digital_twin.services.consistency import Consistency, after_advance
from digital_twin.services.ports import Checkpoint, KnownState, Snapshot, StateTrack, StateUpdate
from digital_twin.services.state_document import state_document
from digital_twin.services.state_plans import Plan
from digital_twin.services.twin_steps import TwinAnswer
from digital_twin.telemetry import LATE_TRUTH, STATE_ADVANCES, STATE_ALERTS, STATE_DURATION, STATE_NIS

REPLAY_DAYS = 7


@dataclass(frozen=True, slots=True, eq=False)
class Advance:
    """What became of an advance."""

    is_anew: bool
    answer: TwinAnswer
    errors: Array  # (T, 4) squared, of what had been estimated before the truth came, NaN where none did
    lost: list[str]  # streams of which an alert has told


def update_of(plan: Plan, answer: TwinAnswer, consistency: Consistency, told_after_h: Array) -> StateUpdate:
    """Everything that the advance replaces."""
    before, end, track = plan.before, answer.observed_at, answer.track
    calibrated_until, calibrated_days = end, plan.task.grid.hours / 24
    if before is not None and not plan.is_anew:
        calibrated_until, calibrated_days = before.calibrated_until, before.calibrated_days
    oldest = end - timedelta(days=REPLAY_DAYS)
    document = state_document(plan.instruments, plan.provenance, plan.task.grid, answer, consistency)
    columns = (track.coverage, track.nis, track.reporting, track.mean, track.deviation, told_after_h)
    return StateUpdate(
        snapshot=Snapshot(
            version=1 if before is None else before.version + 1,
            setup=plan.instruments.fingerprint,
            observed_at=end,
            calibrated_until=calibrated_until,
            calibrated_days=calibrated_days,
            model=answer.model,
            state=answer.state,
            consistency=consistency.to_document(),
        ),
        is_new_model=plan.is_anew,
        replaces_from=plan.task.grid.start,
        checkpoints=[Checkpoint(at, state) for at, state in answer.checkpoints if at >= oldest],
        track=StateTrack(plan.task.grid, *columns),
        known=KnownState(plan.provenance.as_of, document),
        forget_checkpoints_before=oldest,
    )


def document_anew(plan: Plan, answer: TwinAnswer) -> dict[str, Any]:
    """The answer of an estimate that is not kept."""
    week_steps = timedelta(days=7) / plan.task.grid.step
    nothing = np.empty((0, len(OBSERVED)))
    consistency = after_advance(Consistency(), answer, nothing, week_steps=week_steps, is_anew=True)
    return state_document(plan.instruments, plan.provenance, plan.task.grid, answer, consistency)


def measure(advance: Advance, started: float) -> None:
    """Tell the metrics of an advance that is committed; `started` on the monotonic clock."""
    how = "calibrated" if advance.is_anew else "moved on"
    STATE_ADVANCES.labels(how).inc()
    STATE_DURATION.labels(how).observe(time.monotonic() - started)
    for index, name in enumerate(OBSERVED):
        if advance.answer.stream_counts[index]:
            STATE_NIS.labels(name).observe(float(advance.answer.stream_nis[index]))
        errors = advance.errors[:, index]
        errors = errors[np.isfinite(errors)]
        inside = int((errors <= SURE**2).sum())
        if errors.size:
            LATE_TRUTH.labels(name, "inside").inc(inside)
            LATE_TRUTH.labels(name, "outside").inc(errors.size - inside)
    for name in advance.lost:
        STATE_ALERTS.labels(name).inc()

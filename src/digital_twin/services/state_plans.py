"""What to compute so that a state takes up its readings: from where on, with which model, or all of it anew."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.macro_twin import OBSERVED
from digital_twin.services.consistency import Consistency
from digital_twin.services.ports import Checkpoint, Snapshot, StateDue, Transaction
from digital_twin.services.provenance import Provenance
from digital_twin.services.state_inputs import Instruments, heard_of, instruments_of, readings_of, temperature_of, trim
from digital_twin.services.twin_steps import TwinTask

RECALIBRATE_DAYS, SOONEST_DAYS = 7.0, 0.25
"""A model is renewed when as much time has passed as it was learned from, at most a week."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One advance: what to compute, and what its outcome replaces."""

    task: TwinTask
    instruments: Instruments
    provenance: Provenance
    until: datetime  # up to where readings were looked for
    due: StateDue | None = None
    before: Snapshot | None = None

    @property
    def is_anew(self) -> bool:
        return self.task.state is None

    @property
    def is_prior(self) -> bool:
        """Whether there is nothing to read."""
        return not any(self.instruments.own) and not any(one.ids for one in self.instruments.setting.metering)


async def plan_due(tx: Transaction, community_id: str, now: datetime, *, anew: bool) -> Plan | None:
    """What to compute for what is due; None where nothing is, or none of it has ended."""
    before = await tx.states.snapshot()  # first: of two that come at once the second finds nothing due, or is refused
    due = await tx.states.due()
    if due is None:
        return None
    community = (await tx.communities.get(community_id)).community
    newest = due.changed_until if before is None else max(due.changed_until, before.observed_at)
    provenance = Provenance(now)
    instruments = await instruments_of(tx, community, min(now, newest), provenance)
    end = floor_to_step(min(now, newest), instruments.setting.step_minutes)
    kept = None
    if before is not None and not anew and not _is_outdated(before, instruments, end):
        if due.changed_from >= before.observed_at:
            kept = Checkpoint(before.observed_at, before.state)
        else:
            kept = await tx.states.checkpoint(due.changed_from)
            if kept is None and due.changed_until <= end - instruments.window:
                await tx.states.settle(due, end)  # too old to matter
                return None
        if kept is not None and kept.at >= end:
            return None
    if kept is not None and before is not None and end - kept.at <= instruments.window:
        grid = TimeGrid.spanning(kept.at, end, instruments.setting.step_minutes)
        own, meters = await readings_of(tx, instruments, grid, None)
        widening = Consistency.from_document(before.consistency).widening
        task = TwinTask(instruments.setting, grid, own, meters, before.model, kept.state, widening)
        task = replace(task, temperature_c=await temperature_of(tx, grid, None, provenance))
        return Plan(task, instruments, provenance, end, due, before)
    task = await _task_anew(tx, instruments, end, None, provenance)
    if task is None:
        await tx.states.settle(due, end)
        return None
    if before is not None:
        task = replace(task, widening=Consistency.from_document(before.consistency).widening)
    return Plan(task, instruments, provenance, end, due, before)


async def plan_as_of(tx: Transaction, community: Community, as_of: datetime) -> Plan:
    """The estimate from what was known then, worked out anew; the prior's where nothing was."""
    heard = await heard_of(tx, await instruments_of(tx, community, as_of, Provenance(as_of)), as_of)
    provenance = Provenance(as_of)
    instruments = await instruments_of(tx, community, as_of, provenance, heard=heard)
    step_minutes = instruments.setting.step_minutes
    task = await _task_anew(tx, instruments, floor_to_step(as_of, step_minutes), as_of, provenance)
    if task is None:
        instruments = instruments.without_meters()
        grid = TimeGrid(floor_to_step(as_of, step_minutes), 1, step_minutes)
        nothing = np.full((1, len(OBSERVED)), np.nan)
        task = TwinTask(instruments.setting, grid, nothing, (np.empty((1, 0)),) * len(OBSERVED))
    return Plan(task, instruments, provenance, as_of)


def _is_outdated(before: Snapshot, instruments: Instruments, end: datetime) -> bool:
    """Whether the model must be learned again."""
    lifetime = timedelta(days=min(max(before.calibrated_days, SOONEST_DAYS), RECALIBRATE_DAYS))
    is_old = end - before.calibrated_until >= lifetime
    return (
        is_old
        or before.setup != instruments.fingerprint
        or Consistency.from_document(before.consistency).is_to_recalibrate
    )


async def _task_anew(
    tx: Transaction, instruments: Instruments, end: datetime, as_of: datetime | None, provenance: Provenance
) -> TwinTask | None:
    """A calibration on the window that ends here; None without a reading in it."""
    start = floor_to_step(end - instruments.window, 60)
    grid = TimeGrid.spanning(start, end, instruments.setting.step_minutes)
    if not instruments.keys:
        return None
    trimmed = trim(grid, *await readings_of(tx, instruments, grid, as_of))
    if trimmed is None:
        return None
    temperature_c = await temperature_of(tx, trimmed[0], as_of, provenance)
    return TwinTask(instruments.setting, *trimmed, temperature_c=temperature_c)

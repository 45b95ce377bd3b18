"""What the macro twin expects of the next hours from the state that it is in, with its error."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.domain.units import Array
from digital_twin.macro_twin import OBSERVED, SURE
from digital_twin.services.access import Grant
from digital_twin.services.ports import Clock, ComputePool
from digital_twin.services.state_inputs import describe
from digital_twin.services.states import TIMEOUT_S, Standing, StateService
from digital_twin.services.twin_questions import predict_state
from digital_twin.services.twin_steps import TwinTask

LONGEST_GAP = timedelta(days=7)
"""How much of what was never read before now is told as well."""


@dataclass(frozen=True, slots=True, eq=False)
class PredictedState:
    """A prediction with its 95 % band; the four quantities are the last axis, in the order of ESTIMATED."""

    as_of: datetime
    observed_at: datetime | None
    grid: TimeGrid
    mean: Array  # (T, 4)
    deviation: Array  # (T, 4)
    lower: Array  # (T, 4)
    upper: Array  # (T, 4)
    provenance: dict[str, Any]


class PredictionService:
    """Use cases around the prediction of a state."""

    def __init__(self, states: StateService, clock: Clock, pool: ComputePool) -> None:
        self._states = states
        self._clock = clock
        self._pool = pool

    async def predict(self, grant: Grant, hours: int, as_of: datetime | None = None) -> PredictedState:
        """From the end of the last interval that was read to so many hours after now, or after `as_of` as known then.

        Raises:
            InvalidInput: `as_of` lies in the future.
            NotAllowed: a member asks, and fewer than five homes stand behind the estimate.
            NotFound: there is no such community.
        """
        standing = await self._states.standing(grant, as_of)
        now, setting = as_of or self._clock.now(), standing.instruments.setting
        current = floor_to_step(now, setting.step_minutes)
        grid = TimeGrid.spanning(standing.at, current + timedelta(hours=hours), setting.step_minutes)
        nothing, no_meters = np.empty((0, len(OBSERVED))), (np.empty((0, 0)),) * len(OBSERVED)
        outside = await self._states.temperature(standing, str(grant.community_id), grid)
        task = TwinTask(
            setting, grid, nothing, no_meters, standing.model, standing.state, standing.widening, outside
        )  # fmt: skip
        found = await self._pool.call(predict_state, task, timeout_s=TIMEOUT_S)
        first = max(0, (current - LONGEST_GAP - standing.at) // grid.step)
        told = TimeGrid(grid.instant(first), grid.steps - first, grid.step_minutes)
        return _with_band(standing, now, told, (found.mean[first:], found.deviation[first:]))


def _with_band(standing: Standing, now: datetime, grid: TimeGrid, moments: tuple[Array, Array]) -> PredictedState:
    """What is never negative, nor more than fits in, is not so in its band either."""
    plant = standing.instruments.setting.plant
    least = np.array([0.0, 0.0, -np.inf, 0.0])
    most = np.array([np.inf, np.inf, np.inf, plant.storage_capacity_kwh])
    mean, deviation = moments
    spread = SURE * deviation
    describe(standing.instruments, standing.provenance)
    standing.provenance.models["prediction"] = "macro_twin"
    return PredictedState(
        as_of=now,
        observed_at=None if standing.is_prior else standing.at,
        grid=grid,
        mean=mean,
        deviation=deviation,
        lower=np.clip(mean - spread, least, np.maximum(most, mean)),
        upper=np.clip(mean + spread, least, np.maximum(most, mean)),
        provenance=standing.provenance.to_document(),
    )

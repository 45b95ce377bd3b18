"""How each meter of a community fares, and which of the silent ones would help the twin most."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from digital_twin.domain.time import TimeGrid
from digital_twin.macro_twin import Condition
from digital_twin.services.access import Grant
from digital_twin.services.ports import Clock, ComputePool, Store
from digital_twin.services.state_inputs import Instruments, readings_of
from digital_twin.services.states import TIMEOUT_S, StateService
from digital_twin.services.twin_questions import MeterLook, look_at_meters
from digital_twin.services.twin_steps import TwinTask

MOST_VALUES = 8_000_000
LONGEST_DAYS, SHORTEST_DAYS = 7, 2
"""So many days before the state are looked at, or less where so many readings would be more."""


@dataclass(frozen=True, slots=True)
class MeterReport:
    """All meters behind a state."""

    as_of: datetime
    observed_at: datetime | None
    looked_from: datetime | None
    counts: dict[Condition, int]
    meters: tuple[MeterLook, ...]  # the one whose readings would help most first


class MeterService:
    """Use cases around the meters of a community."""

    def __init__(self, store: Store, states: StateService, clock: Clock, pool: ComputePool) -> None:
        self._store = store
        self._states = states
        self._clock = clock
        self._pool = pool

    async def report(self, grant: Grant) -> MeterReport:
        """Every meter that the twin reads, at the end of the last interval that any of them told of.

        Raises NotFound when there is no such community.
        """
        standing = await self._states.standing(grant)
        setting = standing.instruments.setting
        if standing.is_prior or not any(one.ids for one in setting.metering):
            return MeterReport(self._clock.now(), None if standing.is_prior else standing.at, None, {}, ())
        start = standing.at - _span(standing.instruments)
        grid = TimeGrid.spanning(start, standing.at, setting.step_minutes)
        async with self._store.community(str(grant.community_id)) as tx:
            own, meters = await readings_of(tx, standing.instruments, grid, None)
        task = TwinTask(setting, grid, own, meters, standing.model, standing.state)
        looks = await self._pool.call(look_at_meters, task, timeout_s=TIMEOUT_S)
        counts = Counter(look.condition for look in looks)
        return MeterReport(self._clock.now(), standing.at, start, dict(counts), tuple(looks))


def _span(instruments: Instruments) -> timedelta:
    a_day = sum(len(one.ids) for one in instruments.setting.metering) * 1440 // instruments.setting.step_minutes
    return timedelta(days=min(max(MOST_VALUES // max(a_day, 1), SHORTEST_DAYS), LONGEST_DAYS))

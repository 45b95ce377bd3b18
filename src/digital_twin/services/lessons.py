"""What the days since its training teach the model in service, without training it anew."""

import hashlib
from datetime import datetime

from digital_twin.domain.community import Community
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.model_bytes import FORMAT
from digital_twin.forecasting.registry import BEST
from digital_twin.forecasting.training import STALE_AFTER
from digital_twin.services.computations import teach_model
from digital_twin.services.models import ModelService, fingerprint
from digital_twin.services.ports import Clock, ComputePool, Lesson, Store, TrainedVersion, Transaction
from digital_twin.services.provenance import CODE_VERSION
from digital_twin.telemetry import FORECAST_LESSONS

TIMEOUT_S = 60.0

FORESEEN_DAYS = STALE_AFTER.days + 2
"""No model in service is asked about days before: of the weather of these it matters how it was foreseen."""


class Teacher:
    """Gives each model in service a lesson of the days since its training, always of all of them.

    So a lesson follows from its version and from what was known at one instant: it does not matter which were given
    before, and what came late is in the next one.
    """

    def __init__(self, store: Store, clock: Clock, pool: ComputePool, models: ModelService) -> None:
        self._store = store
        self._clock = clock
        self._pool = pool
        self._models = models

    async def teach(self, community_id: str, as_of: datetime) -> None:
        """From what was known at this instant, whoever has not had this lesson.

        Raises:
            Unavailable: the database or a process is away.
            NotFound: there is no such community.
        """
        async with self._store.community(community_id) as tx:
            untaught = await _untaught(tx, as_of)
            if not untaught:
                return
            community = (await tx.communities.get(community_id)).community
            tasks = await self._tasks(tx, community, untaught, as_of)
        for trained, payload in untaught:
            if (task := tasks.get(trained.variable)) is not None:
                await self._give(community_id, trained, payload, task)

    async def _tasks(
        self, tx: Transaction, community: Community, untaught: list[tuple[TrainedVersion, bytes]], as_of: datetime
    ) -> dict[str, TrainingTask]:
        pairs = [(trained.variable, trained.model) for trained, _ in untaught]
        found = await self._models.tasks(tx, community, pairs, as_of, foreseen_days=FORESEEN_DAYS)
        return {variable: task for (variable, _), task in found.items()}

    async def _give(self, community_id: str, trained: TrainedVersion, payload: bytes, task: TrainingTask) -> None:
        taught = await self._pool.call(teach_model, payload, task, timeout_s=TIMEOUT_S)
        if taught is None:
            return
        kept, ensemble = taught
        lesson = Lesson(
            variable=trained.variable,
            model=trained.model,
            version=trained.version,
            as_of=task.as_of,
            taught_at=self._clock.now(),
            data_sha256=fingerprint(task),
            code_version=CODE_VERSION,
            sha256=hashlib.sha256(kept).hexdigest(),
            ensemble=ensemble,
        )
        async with self._store.community(community_id) as tx:
            is_new = await tx.trained_models.add_lesson(lesson, kept)
        if is_new:
            FORECAST_LESSONS.labels(trained.variable).inc()


async def _untaught(tx: Transaction, as_of: datetime) -> list[tuple[TrainedVersion, bytes]]:
    """The versions in service at this instant that have had no lesson of it."""
    found: list[tuple[TrainedVersion, bytes]] = []
    for variable, model in BEST.items():
        newest = await tx.trained_models.newest(
            variable, model, payload_format=FORMAT, since=as_of - STALE_AFTER, until=as_of
        )
        if newest is None:
            continue
        latest = await tx.trained_models.latest_lesson(newest[0], until=as_of)
        if latest is None or latest[0].as_of < as_of:
            found.append(newest)
    return found

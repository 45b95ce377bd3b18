"""Trained versions of forecasting models in memory."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from digital_twin.services.ports import KEPT_VERSIONS, Lesson, TrainedVersion


@dataclass
class ModelTable:
    """One community's, by variable, model and version."""

    kept: dict[tuple[str, str, int], tuple[TrainedVersion, bytes]] = field(
        default_factory=dict[tuple[str, str, int], tuple[TrainedVersion, bytes]]
    )
    lessons: dict[tuple[str, str, int], dict[datetime, tuple[Lesson, bytes]]] = field(
        default_factory=dict[tuple[str, str, int], dict[datetime, tuple[Lesson, bytes]]]
    )


class MemoryTrainedModels:
    """The port `TrainedModels`."""

    def __init__(self, table: ModelTable) -> None:
        self._kept = table.kept
        self._lessons = table.lessons

    async def add(self, trained: TrainedVersion, payload: bytes) -> TrainedVersion:
        pair = trained.variable, trained.model
        alike = [one for one, _ in self._kept.values() if (one.variable, one.model) == pair]
        for before in alike:
            if before.run_id == trained.run_id:
                return before
        number = max((one.version for one in alike), default=0) + 1
        added = replace(trained, version=number)
        self._kept[*pair, number] = added, payload
        self._kept.pop((*pair, number - KEPT_VERSIONS), None)
        self._lessons.pop((*pair, number - KEPT_VERSIONS), None)
        return added

    async def all(self) -> list[TrainedVersion]:
        taught = (self._taught(key, one) for key, (one, _) in self._kept.items())
        return sorted(taught, key=lambda one: (one.variable, one.model, -one.version))

    async def newest(
        self, variable: str, model: str, *, payload_format: int, since: datetime, until: datetime
    ) -> tuple[TrainedVersion, bytes] | None:
        fitting = [
            (one, payload)
            for one, payload in self._kept.values()
            if (one.variable, one.model, one.payload_format) == (variable, model, payload_format)
            and since <= one.as_of <= until
        ]
        return max(fitting, key=lambda found: (found[0].as_of, found[0].version), default=None)

    async def add_lesson(self, lesson: Lesson, payload: bytes) -> bool:
        key = lesson.variable, lesson.model, lesson.version
        lessons = self._lessons.setdefault(key, {})
        if key not in self._kept or lesson.as_of in lessons:
            return False
        lessons[lesson.as_of] = lesson, payload
        return True

    async def latest_lesson(self, trained: TrainedVersion, *, until: datetime) -> tuple[Lesson, bytes] | None:
        lessons = self._lessons.get((trained.variable, trained.model, trained.version), {})
        return lessons.get(max((as_of for as_of in lessons if as_of <= until), default=until))

    def _taught(self, key: tuple[str, str, int], trained: TrainedVersion) -> TrainedVersion:
        lessons = self._lessons.get(key)
        if not lessons:
            return trained
        latest, _ = lessons[max(lessons)]
        return replace(trained, taught_until=latest.as_of, ensemble=latest.ensemble)

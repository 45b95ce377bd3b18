"""Trained versions of forecasting models in memory."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from digital_twin.services.ports import KEPT_VERSIONS, TrainedVersion


@dataclass
class ModelTable:
    """One community's, by variable, model and version."""

    kept: dict[tuple[str, str, int], tuple[TrainedVersion, bytes]] = field(
        default_factory=dict[tuple[str, str, int], tuple[TrainedVersion, bytes]]
    )


class MemoryTrainedModels:
    """The port `TrainedModels`."""

    def __init__(self, table: ModelTable) -> None:
        self._kept = table.kept

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
        return added

    async def all(self) -> list[TrainedVersion]:
        return sorted((one for one, _ in self._kept.values()), key=lambda one: (one.variable, one.model, -one.version))

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

"""Which trained version of a model a forecast is made with."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from digital_twin.domain.errors import InsufficientData
from digital_twin.forecasting.auto import preferred_models
from digital_twin.forecasting.forecast import ForecastTask
from digital_twin.forecasting.model_bytes import FORMAT
from digital_twin.forecasting.training import STALE_AFTER
from digital_twin.services.computations import TrainedBytes
from digital_twin.services.ports import Lesson, TrainedVersion, Transaction
from digital_twin.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A version as it was taught, with its bytes."""

    version: TrainedVersion
    payload: TrainedBytes

    @property
    def label(self) -> str:
        """As an answer names it."""
        said = f"{self.version.model}, trained version {self.version.version} of {_minute(self.version.as_of)}"
        taught_until = self.version.taught_until
        return said if taught_until is None else f"{said}, taught until {_minute(taught_until)}"


async def trained_for(tx: Transaction, task: ForecastTask) -> TrainedModel | None:
    """The newest version of the best model that `auto` stands for, of those known when the forecast is issued.

    It is as the lessons up to then left it. Whether it suits the task is told by the model itself when it is asked.
    """
    try:
        preferred = preferred_models(task)
    except InsufficientData:
        return None
    since = task.issued_at - STALE_AFTER
    for model in preferred:
        found = await tx.trained_models.newest(
            task.variable, model, payload_format=FORMAT, since=since, until=task.issued_at
        )
        if found is not None:
            return await _as_taught(tx, *found, until=task.issued_at)
    return None


async def _as_taught(
    tx: Transaction, version: TrainedVersion, payload: bytes, *, until: datetime
) -> TrainedModel | None:
    if _is_damaged(version, payload):
        return None
    found = await tx.trained_models.latest_lesson(version, until=until)
    if found is None or _is_damaged(*found):
        return TrainedModel(version, (payload, None))
    lesson, taught = found
    return TrainedModel(replace(version, taught_until=lesson.as_of, ensemble=lesson.ensemble), (payload, taught))


def _is_damaged(kept: TrainedVersion | Lesson, payload: bytes) -> bool:
    if hashlib.sha256(payload).hexdigest() == kept.sha256:
        return False
    get_logger().error("trained_model_damaged", variable=kept.variable, model=kept.model, version=kept.version)
    return True


def _minute(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%MZ")

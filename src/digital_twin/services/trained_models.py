"""Which trained version of a model a forecast is made with."""

import hashlib
from dataclasses import dataclass

from digital_twin.domain.errors import InsufficientData
from digital_twin.forecasting.auto import preferred_models
from digital_twin.forecasting.forecast import ForecastTask
from digital_twin.forecasting.model_bytes import FORMAT
from digital_twin.forecasting.training import STALE_AFTER
from digital_twin.services.ports import TrainedVersion, Transaction
from digital_twin.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A version with its bytes."""

    version: TrainedVersion
    payload: bytes

    @property
    def label(self) -> str:
        """As an answer names it."""
        known_until = self.version.as_of.strftime("%Y-%m-%dT%H:%MZ")
        return f"{self.version.model}, trained version {self.version.version} of {known_until}"


async def trained_for(tx: Transaction, task: ForecastTask) -> TrainedModel | None:
    """The newest version of the best model that `auto` stands for, of those known when the forecast is issued.

    Whether it suits the task is told by the model itself when it is asked.
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
            return _undamaged(*found)
    return None


def _undamaged(version: TrainedVersion, payload: bytes) -> TrainedModel | None:
    if hashlib.sha256(payload).hexdigest() != version.sha256:
        get_logger().error(
            "trained_model_damaged", variable=version.variable, model=version.model, version=version.version
        )
        return None
    return TrainedModel(version, payload)

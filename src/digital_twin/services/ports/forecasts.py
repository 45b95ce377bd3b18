"""Forecasts as they were issued day by day, and when they are looked after."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

KEPT_FORECASTS = timedelta(days=400)
"""So long forecasts are kept that were issued."""

Kept = NDArray[np.float32]
"""In single precision, as they are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class IssuedForecast:
    """What was said of one variable on one local day when it began; it knows nothing received after `issued_at`."""

    variable: str
    start: datetime
    issued_at: datetime
    resolution_minutes: int
    model: str
    levels: tuple[float, ...]
    mean: Kept  # (T,)
    quantiles: Kept  # (T, Q)
    naive_quantiles: Kept | None  # (T, Q) of the seasonal naive; None where it had too little to go by


@dataclass(frozen=True, slots=True)
class ForecastCare:
    """When a community's forecasts are looked after, and what was found of them."""

    next_look_at: datetime
    next_issue_at: datetime  # the beginning of the local day that a forecast is issued for next
    next_training_at: datetime
    drift: dict[str, Any]
    version: int = 0
    """Counts up with each change; 0 until it is kept."""

    lacked_history_at: datetime | None = None
    """When a training last found too little to learn from; None once there was enough."""


class IssuedForecasts(Protocol):
    """Of the community that the transaction entered."""

    async def add(self, issued: IssuedForecast) -> bool:
        """Keep it and let go of those that are older than KEPT_FORECASTS; False where the day has one already."""
        ...

    async def between(self, start: datetime, end: datetime) -> list[IssuedForecast]:
        """Those whose day begins in this stretch, by variable, then by day."""
        ...

    async def care(self) -> ForecastCare | None:
        """None where nobody has looked yet."""
        ...

    async def keep_care(self, care: ForecastCare) -> bool:
        """Keep it in place of the one of its version; False where somebody else has changed that meanwhile."""
        ...

    async def history_came(self, since: datetime) -> bool:
        """Whether readings of days that had been over for a week came after this instant."""
        ...

    async def due(self, now: datetime) -> list[str]:
        """In platform scope: the communities whose time has come, or the history that they lacked."""
        ...

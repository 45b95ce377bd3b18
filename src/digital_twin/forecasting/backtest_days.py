"""What a backtest of one model came to day by day, as bytes and back, and summed up beside the seasonal naive."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.backtest import Backtest, backtest
from digital_twin.forecasting.ensemble import LEVELS
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.local_days import Indices
from digital_twin.forecasting.registry import find_forecaster
from digital_twin.forecasting.scores import Estimate, ratio_of_days

CONFIDENCE_LEVELS = (0.8, 0.9, 0.95)
"""The intervals whose hold is told; their bounds are among the ensemble's levels."""

FEWEST_COMPARED = 2
SEED = 1


@dataclass(frozen=True, slots=True, eq=False)
class BacktestDays:
    """Of one model, by day; what the model could not say, or nobody measured, counts nowhere."""

    day: Indices  # (D,) days since 1970-01-01, local
    loss_kw: Array  # (D,) mean pinball loss; NaN for days without readings or forecast
    hour_loss_kw: Array  # (D, 24) the same by hour since midnight
    actual_kw: Array  # (D,) sum of the absolute values of what happened
    intervals: Indices  # (D,)
    inside: Indices  # (D, C) intervals inside of each confidence level's interval

    def to_bytes(self) -> bytes:
        """Read without pickle."""
        buffer = io.BytesIO()
        arrays = {name: getattr(self, name) for name in self.__slots__}
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, payload: bytes) -> "BacktestDays":
        """What `to_bytes` gave, again."""
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            return cls(**{name: archive[name] for name in archive.files})


@dataclass(frozen=True, slots=True)
class BacktestScore:
    """Over all days that count; what nothing is known of is None."""

    days: int
    pinball_loss_kw: float | None
    relative_loss: float | None  # as a share of the mean of what happened
    coverage: Mapping[float, float | None]
    naive_ratio: Estimate | None  # of the seasonal naive's loss, on the days of both


def backtest_days(model: str, task: TrainingTask, *, days: int, refit_days: int) -> BacktestDays:
    """The last whole days of the history through the code that serves forecasts.

    Raises:
        InvalidInput: there is no such model.
        InsufficientData: there are no such days, or too little to learn from before them.
    """
    found = backtest(task, {model: find_forecaster(model)}, days=days, refit_days=refit_days)
    return days_of(found, model)


def days_of(found: Backtest, model: str) -> BacktestDays:
    """One model's part of a backtest."""
    said = found.quantiles[model]
    known = np.isfinite(found.actual) & np.isfinite(said[:, :, 0])
    inside = [
        (known & (found.actual >= said[:, :, low]) & (found.actual <= said[:, :, high])).sum(axis=1)
        for low, high in map(_bounds, CONFIDENCE_LEVELS)
    ]
    return BacktestDays(
        day=found.day,
        loss_kw=found.daily_loss(model),
        hour_loss_kw=found.hourly_loss(model),
        actual_kw=np.where(known, np.abs(found.actual), 0.0).sum(axis=1),
        intervals=known.sum(axis=1),
        inside=np.stack(inside, axis=1),
    )


def score_of(model: BacktestDays, naive: BacktestDays) -> BacktestScore:
    """The model beside the seasonal naive on the same days."""
    counts = np.isfinite(model.loss_kw)
    intervals = int(model.intervals[counts].sum())
    loss = float(model.loss_kw[counts].mean()) if counts.any() else None
    actual = float(model.actual_kw[counts].sum())
    inside = model.inside[counts].sum(axis=0)
    return BacktestScore(
        days=int(counts.sum()),
        pinball_loss_kw=loss,
        relative_loss=loss * intervals / actual if loss is not None and actual > 0 else None,
        coverage={
            level: float(inside[place] / intervals) if intervals else None
            for place, level in enumerate(CONFIDENCE_LEVELS)
        },
        naive_ratio=_ratio(model.loss_kw, naive.loss_kw),
    )


def loss_by_hour(model: BacktestDays) -> list[float | None]:
    """Mean over the days of each hour since midnight; None where nothing is known."""
    known = np.isfinite(model.hour_loss_kw)
    total, count = np.where(known, model.hour_loss_kw, 0.0).sum(axis=0), known.sum(axis=0)
    return [float(loss / days) if days else None for loss, days in zip(total, count, strict=True)]


def _ratio(ours: Array, theirs: Array) -> Estimate | None:
    both = np.isfinite(ours) & np.isfinite(theirs)
    if both.sum() < FEWEST_COMPARED or not (theirs[both] > 0).all():
        return None
    return ratio_of_days(ours[both], theirs[both], np.random.default_rng(SEED))


def _bounds(confidence_level: float) -> tuple[int, int]:
    low, high = (
        int(np.argmin(np.abs(np.array(LEVELS) - tail)))
        for tail in (0.5 - confidence_level / 2, 0.5 + confidence_level / 2)
    )
    return low, high

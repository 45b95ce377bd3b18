"""What the members of an ensemble are worth, in words and shares that people read."""

from typing import Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.conformal import DAY_PARTS
from digital_twin.forecasting.ensemble import LEVELS, FittedEnsemble, Past
from digital_twin.forecasting.forecaster import FittedForecaster
from digital_twin.forecasting.scores import pinball_losses
from digital_twin.forecasting.weights import GROUPS

PARTS_OF_DAY = tuple(f"{24 * part // DAY_PARTS:02d}-{24 * (part + 1) // DAY_PARTS:02d}" for part in range(DAY_PARTS))
"""Local hours, from and until."""


def worth_of(fitted: FittedForecaster) -> dict[str, Any] | None:
    """The weight of each member by part of the day and group of quantiles, and what it lost; None without members."""
    if not isinstance(fitted, FittedEnsemble):
        return None
    losses = relative_losses(fitted.past)
    return {
        "members": [
            {
                "model": name,
                "weight_mean": float(fitted.weights[:, :, place].mean()),
                "weights": _by_part(fitted.weights[:, :, place]),
                "loss_relative_to_best": losses[place],
            }
            for place, name in enumerate(fitted.members)
        ],
        "parts_of_day": list(PARTS_OF_DAY),
        "groups": list(GROUPS),
        "days": int(fitted.past.day.size),
        "last_day": str(fitted.past.day[-1:].astype("datetime64[D]")[0]),
        "left_out": list(fitted.left_out),
    }


def relative_losses(past: Past) -> list[float | None]:
    """The mean pinball loss of each member as a multiple of the least, where all of them answered."""
    members = past.members.astype(np.float64)
    known = np.isfinite(past.actual) & np.isfinite(members).all(axis=(0, 3))  # (D, S)
    if not known.any():
        return [None] * len(members)
    losses = np.array([pinball_losses(past.actual[known], one[known], LEVELS).mean() for one in members])
    if losses.min() <= 0:
        return [1.0 if loss <= 0 else None for loss in losses]
    return (losses / losses.min()).tolist()


def _by_part(weights: Array) -> dict[str, dict[str, float]]:  # (P, G)
    return {
        part: dict(zip(GROUPS, of_part, strict=True))
        for part, of_part in zip(PARTS_OF_DAY, weights.tolist(), strict=True)
    }

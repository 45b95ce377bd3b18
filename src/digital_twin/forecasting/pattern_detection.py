"""What a home seems to have, from what its meter shows: a probability for each device, and the reasons.

Logistic regression on named features. The weights were learned from synthetic homes; as common as devices are among
those, so common they are taken to be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

DEVICES = ("heat_pump", "ev", "pv")
BEHIND_PV = "heat_pump_behind_pv"
"""The detector of heat pumps for a meter that shows generation and use as one: by features that sun moves little."""

SURE_OF_PV = 0.5

LOOKED_AT: dict[str, tuple[str, ...]] = {
    "heat_pump": (
        "cold_share", "colder", "night_rises", "rises_spread", "night_memory", "night_steps", "within_two_hours",
        "after_quarter", "after_hour", "after_day", "same_each_day", "night", "morning", "midday", "evening", "late",
        "night_over_3_kw", "base", "level",
    ),
    BEHIND_PV: (
        "cold_share_by_dark", "colder_by_dark", "night_rises", "dark_rises", "rises_spread", "dark_spread",
        "night_memory", "night_steps", "within_two_hours", "after_quarter", "after_hour", "after_day", "same_each_day",
        "night", "morning", "midday", "evening", "late", "night_over_3_kw", "base", "level",
    ),
    "ev": (
        "plateau_hours", "plateau_days", "plateau_kw", "plateau_longest", "plateau_evening", "peak", "level",
        "after_hour", "after_two_hours", "after_day", "same_each_day", "evening", "morning", "night_over_3_kw",
        "cold_share",
    ),
    "pv": ("fed_in", "midday_zeros", "midday_dip", "midday_dip_deep", "midday", "base"),
}  # fmt: skip
"""Features by detector: what the physics of the device moves."""

FARTHEST = 4.0
"""Deviations from the mean beyond which a feature says no more."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Of a detector: a constant, and of each feature mean, deviation and weight."""

    constant: float
    features: Mapping[str, tuple[float, ...]]


class Detected(NamedTuple):
    """How probable it is that a home has a device, 0..1, and which features speak most for or against it."""

    probability: float
    because: tuple[tuple[str, float], ...]  # feature, share of the log odds


def detect_devices(
    seen: Mapping[str, float], weights: Mapping[str, Weights], used: Mapping[str, float] | None = None
) -> dict[str, Detected]:
    """Each device, by the features of what the meter shows and, where that is known, of what the home uses."""
    pv = detect(seen, weights["pv"])
    heat_pump = BEHIND_PV if shows_pv(pv) and used is None else "heat_pump"
    use = seen if used is None else used
    return {"heat_pump": detect(use, weights[heat_pump]), "ev": detect(use, weights["ev"]), "pv": pv}


def shows_pv(pv: Detected) -> bool:
    """Whether what the meter shows is rather net of generation than not."""
    return pv.probability >= SURE_OF_PV


def detect(features: Mapping[str, float], weights: Weights, *, reasons: int = 3) -> Detected:
    """By the features that are known; one that is not counts as the mean."""
    pushes = {
        name: weight * float(np.clip((features[name] - mean) / deviation, -FARTHEST, FARTHEST))
        for name, (mean, deviation, weight) in weights.features.items()
        if np.isfinite(features[name])
    }
    odds = weights.constant + sum(pushes.values())
    strongest = sorted(pushes.items(), key=lambda one: -abs(one[1]))[:reasons]
    return Detected(float(1 / (1 + np.exp(-odds))), tuple(strongest))

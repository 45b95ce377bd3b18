"""Units: the canonical unit of a series stands in its name, foreign ones are converted once, where they are met."""

from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput

Array = NDArray[np.float64]


class SeriesKind(StrEnum):
    """How a value belongs to its interval: its mean, its sum, or an instant at its start."""

    MEAN = "mean"
    ENERGY = "energy"
    INSTANT = "instant"


_CANONICAL_BY_SUFFIX = {
    # longest suffix first: `_kg_per_kwh` is also a `_per_kwh` and a `_kwh`
    "_kg_per_kwh": ("kg/kWh", SeriesKind.MEAN),
    "_per_kwh": ("currency/kWh", SeriesKind.MEAN),
    "_soc_kwh": ("kWh", SeriesKind.INSTANT),
    "_kwh": ("kWh", SeriesKind.ENERGY),
    "_kw": ("kW", SeriesKind.MEAN),
    "_wm2": ("W/m2", SeriesKind.MEAN),
    "_ms": ("m/s", SeriesKind.MEAN),
    "_c": ("C", SeriesKind.INSTANT),
}

_FACTORS: dict[str, dict[str, float]] = {
    "kW": {"kW": 1.0, "W": 1e-3, "MW": 1e3},
    "kWh": {"kWh": 1.0, "Wh": 1e-3, "MWh": 1e3},
    "W/m2": {"W/m2": 1.0, "kW/m2": 1e3},
    "m/s": {"m/s": 1.0, "km/h": 1 / 3.6},
    "C": {"C": 1.0, "degC": 1.0},
    "kg/kWh": {"kg/kWh": 1.0, "g/kWh": 1e-3, "kg/MWh": 1e-3, "t/MWh": 1.0},
    "currency/kWh": {"currency/kWh": 1.0, "currency/MWh": 1e-3},
}


@lru_cache(maxsize=1024)
def canonical_unit(series_name: str) -> tuple[str, SeriesKind]:
    """The unit and kind that the name of a series promises, such as `("kW", MEAN)` for `load_kw`.

    Raises:
        InvalidInput: the name ends in no known unit.
    """
    for suffix, canonical in _CANONICAL_BY_SUFFIX.items():
        if series_name.endswith(suffix):
            return canonical
    known = " ".join(_CANONICAL_BY_SUFFIX)
    raise InvalidInput(f"the name of a series must end in its unit ({known}), got {series_name!r}", field="name")


def to_canonical(values: Array, series_name: str, unit: str, kind: SeriesKind, step_hours: float) -> Array:
    """Values of a series in the unit of its name; energies per interval become mean powers and the reverse.

    Raises:
        InvalidInput: the unit cannot be turned into that of the name.
    """
    factor, offset = _conversion(series_name, unit, kind, step_hours)
    if offset:
        return values * factor + offset
    return values if factor == 1 else values * factor


@lru_cache(maxsize=1024)
def _conversion(series_name: str, unit: str, kind: SeriesKind, step_hours: float) -> tuple[float, float]:
    """The factor and the offset that lead to the unit of the name; bodies ask for the same ones over and over."""
    target, target_kind = canonical_unit(series_name)
    _, slash, per = unit.partition("/")
    if target == "currency/kWh" and slash and per in ("kWh", "MWh"):
        unit = "currency/" + per  # the currency is the community's own
    factors = _FACTORS[target]
    if unit in factors and _kinds_agree(kind, target_kind):
        return factors[unit], 0.0
    if target == "kW" and kind is SeriesKind.ENERGY and unit in _FACTORS["kWh"]:
        return _FACTORS["kWh"][unit] / step_hours, 0.0
    if target == "kWh" and target_kind is SeriesKind.ENERGY and kind is SeriesKind.MEAN and unit in _FACTORS["kW"]:
        return _FACTORS["kW"][unit] * step_hours, 0.0
    if unit == "K" and target == "C":
        return 1.0, -273.15
    allowed = ", ".join(factors)
    raise InvalidInput(
        f"{series_name} takes {allowed} as {target_kind} values, got unit {unit!r} as {kind} values", field="unit"
    )


def _kinds_agree(given: SeriesKind, promised: SeriesKind) -> bool:
    """An instant may stand for a mean (a sampled power) and the reverse; an energy is neither."""
    return (given is SeriesKind.ENERGY) == (promised is SeriesKind.ENERGY)

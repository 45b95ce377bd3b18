"""The year that simulated years are drawn from: 52 whole weeks, so that weekdays stay weekdays.

What is known of it is kept; what is not is filled by a synthetic year at the level of what is known.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.domain.units import Array

DAYS = 364
HEATING_LIMIT_C = 15.0
"""Degrees below this count as heating degrees (VDI 2067)."""
_LEVELS = (0.02, 50.0)


def base_grid(as_of: datetime, step_minutes: int) -> TimeGrid:
    """The 52 weeks of UTC days before an instant."""
    midnight = floor_to_step(as_of, 60).replace(hour=0)
    return TimeGrid(midnight - timedelta(days=DAYS), DAYS * 1440 // step_minutes, step_minutes)


@dataclass(frozen=True, slots=True, eq=False)
class BaseYear:
    """Load and generation of each home, and what energy costs: the same hours of the same days.

    Homes are connection points; one stands for all where the community has a single meter.

    Raises:
        InvalidInput: shapes that do not fit, or a number that is not finite.
    """

    grid: TimeGrid
    load_kw: NDArray[np.float32]  # (T, N) each home's own
    pv_share: NDArray[np.float32]  # (T, N) generation per kW of the community's PV; homes add up to the yield
    heating_degrees: Array  # (364,) mean of the day
    import_price_per_kwh: Array  # (T,)
    export_price_per_kwh: Array  # (T,)
    emission_factor_kg_per_kwh: Array  # (T,)
    coefficients: Array | None = None  # (N,) fixed shares of the homes known
    homes_per_profile: float = 1.0  # how many homes each profile stands for in the community as it is
    is_curtailable: bool = True

    def __post_init__(self) -> None:
        if self.grid.hours != DAYS * 24:
            raise InvalidInput(f"a base year has {DAYS} days, got {self.grid.hours / 24:g}")
        steps, homes = self.load_kw.shape
        if steps != self.grid.steps or self.pv_share.shape != (steps, homes):
            raise InvalidInput(f"the profiles of a base year must have shape ({self.grid.steps}, homes)")
        for name in ("load_kw", "pv_share", "heating_degrees", "import_price_per_kwh", "export_price_per_kwh"):
            if not np.isfinite(getattr(self, name)).all():
                raise InvalidInput(f"{name} of a base year must be finite", field=name)

    @property
    def homes(self) -> int:
        return self.load_kw.shape[1]

    @property
    def steps_per_day(self) -> int:
        return self.grid.steps // DAYS

    def as_one(self) -> "BaseYear":
        """All homes behind one meter."""
        return BaseYear(
            self.grid,
            (self.homes_per_profile * self.load_kw.sum(axis=1, dtype=np.float64, keepdims=True)).astype(np.float32),
            self.pv_share.sum(axis=1, dtype=np.float64, keepdims=True).astype(np.float32),
            self.heating_degrees,
            self.import_price_per_kwh,
            self.export_price_per_kwh,
            self.emission_factor_kg_per_kwh,
            is_curtailable=self.is_curtailable,
        )


def filled_like(known: Array, synthetic: Array) -> Array:
    """The known values, and where they are NaN the synthetic ones at the level of what is known.

    All NaN gives the synthetic values as they are.
    """  # (T,)
    is_known = np.isfinite(known)
    if not is_known.any():
        return synthetic.copy()
    expected = float(synthetic[is_known].sum())
    level = float(np.clip(known[is_known].sum() / expected, *_LEVELS)) if expected > 0 else 1.0
    return np.where(is_known, known, level * synthetic)


def heating_degrees(temperature_c: Array, steps_per_day: int) -> Array:
    """How far each day's mean stays below the heating limit."""  # (days,)
    return np.maximum(HEATING_LIMIT_C - temperature_c.reshape(-1, steps_per_day).mean(axis=1), 0.0)


def heating_kw_per_degree(load_kw: NDArray[np.float32], degrees: Array) -> Array:
    """What a heating degree adds to each home's load, apart from season and weekday; 0 where it falls in the cold.

    Source: degree-day regression with seasonal terms, ASHRAE Guideline 14 (2014), section 5.
    """  # (N,)
    homes = load_kw.shape[1]
    if not degrees.any():
        return np.zeros(homes)
    daily_kw = load_kw.reshape(degrees.size, -1, homes).mean(axis=1, dtype=np.float64)
    day = np.arange(degrees.size)
    angle = 2 * np.pi * day / 365.25
    weekdays = [(day % 7 == weekday).astype(np.float64) for weekday in range(7)]
    columns = np.stack([degrees, np.cos(angle), np.sin(angle), *weekdays], axis=1)
    fitted = np.linalg.lstsq(columns, daily_kw, rcond=None)[0]
    return np.maximum(fitted[0], 0.0)

"""Small studies of scenarios on a base year of few homes."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from digital_twin.domain.sharing import Sharing, SharingRule
from digital_twin.simulation.base_year import DAYS, BaseYear, base_grid
from digital_twin.simulation.monte_carlo import Study
from digital_twin.simulation.scenario import Setting
from digital_twin.simulation.terms import Terms

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
HOMES = 6


def base_year(homes: int = HOMES, *, minutes: int = 60, seed: int = 1, **given: Any) -> BaseYear:
    """Spiky homes, sun that differs from day to day, prices that rise in the evening, cold in winter."""
    generator = np.random.default_rng(seed)
    grid = base_grid(NOW, minutes)
    hour, day = (np.arange(grid.steps) * minutes / 60) % 24, np.arange(grid.steps) * minutes // 1440
    load = generator.gamma(0.8, 0.6, (grid.steps, homes)) * (1 + (hour > 17))[:, None]
    brightness = generator.beta(2, 1.5, DAYS)[day] * (1 - 0.6 * np.cos(2 * np.pi * (day + 60) / 365))
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None) * brightness
    shares = generator.uniform(0, 1, homes) * (generator.random(homes) < 0.7) + 0.01
    fields: dict[str, Any] = {
        "load_kw": load.astype(np.float32),
        "pv_share": (sun[:, None] * shares / shares.sum()).astype(np.float32),
        "heating_degrees": np.maximum(15 - generator.normal(8, 6, DAYS), 0),
        "import_price_per_kwh": 0.2 + 0.15 * (hour > 16) * (hour < 21) + 0.02 * generator.standard_normal(grid.steps),
        "export_price_per_kwh": 0.07 + 0.01 * generator.standard_normal(grid.steps),
        "emission_factor_kg_per_kwh": 0.2 + 0.1 * (hour < 8),
        "coefficients": np.full(homes, 0.9 / homes),
    }
    return BaseYear(grid, **{**fields, **given})


def numbers(**given: Any) -> Setting:
    fields: dict[str, Any] = {
        "num_prosumers": float(HOMES),
        "total_pv_capacity_kw": 12.0,
        "total_storage_capacity_kwh": 15.0,
        "max_storage_power_kw": 5.0,
        "grid_import_limit_kw": 100.0,
        "grid_export_limit_kw": 100.0,
        "charge_efficiency": 0.95,
        "discharge_efficiency": 0.9,
        "sharing_rule": SharingRule.SINGLE_METER,
    }
    return Setting(**{**fields, **given})


def study(*some: Setting, base: BaseYear | None = None, sharing: Sharing | None = None, **given: Any) -> Study:
    fields: dict[str, Any] = {"num_prosumers": float(HOMES), "days": 28, "seed": 3} | given
    periods = np.arange(fields["days"]) // 30
    terms = Terms(some, sharing or Sharing(SharingRule.DYNAMIC), billing_period=periods, **fields)
    return Study(base or base_year(), terms)

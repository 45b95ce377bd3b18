"""Roofs of known facing under known weather."""

from datetime import datetime, timedelta

import numpy as np
from tests.builders import MONDAY

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import History, Site
from digital_twin.forecasting.orientation import Roofs
from digital_twin.forecasting.solar import Sky

VIENNA = Site(48.2, 16.4, "Europe/Vienna", 100, 500.0, "AT")
SYDNEY = Site(-33.9, 151.2, "Australia/Sydney", 100, 500.0, "AU")
QUITO = Site(-0.2, -78.5, "America/Guayaquil", 100, 500.0, None)


def weather_of(site: Site, grid: TimeGrid, *, seed: int = 5) -> dict[str, Array]:
    """Cloudless and dull days, with clouds that pass within hours."""
    generator = np.random.default_rng(seed)
    days = -(-grid.steps * grid.step_minutes // 1440) + 1
    day = np.repeat(generator.choice([0.25, 0.6, 0.95], days), 1440 // grid.step_minutes)[: grid.steps]
    hour = np.repeat(generator.uniform(0.7, 1.1, days * 24), 60 // grid.step_minutes)[: grid.steps]
    clear_wm2 = Sky(site, [grid], {}).clear_ghi_wm2
    return {"ghi_wm2": clear_wm2 * np.minimum(day * hour, 1.0), "temperature_c": generator.normal(12, 6, grid.steps)}


def plant(
    site: Site, roofs: Roofs, *, days: int = 60, minutes: int = 60, end: datetime = MONDAY, noise: float = 0.08
) -> History:
    """What roofs generate under weather that is known but for chance."""
    grid = TimeGrid(end - timedelta(days=days), days * 1440 // minutes, minutes)
    weather = weather_of(site, grid)
    chance = np.random.default_rng(2).normal(1, noise, grid.steps)
    return History(grid, roofs.output_kw(Sky(site, [grid], weather)) * np.maximum(chance, 0), weather)


def roofs_of(*planes: tuple[float, float, float]) -> Roofs:
    return Roofs(*(np.array(column, dtype=np.float64) for column in zip(*planes, strict=True)))


SOUTH = roofs_of((35.0, 180.0, 400.0))
EAST_WEST = roofs_of((25.0, 95.0, 200.0), (25.0, 275.0, 200.0))

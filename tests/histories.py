"""Pasts of a community with a rhythm of days and weeks, and questions about the next day."""

from datetime import datetime, timedelta

import numpy as np
from tests.builders import MONDAY

from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.forecasting.forecast import ForecastTask, History, Site
from digital_twin.forecasting.solar import Orientation, rated_output

VIENNA = Site(48.2, 16.4, "Europe/Vienna", 100, 500.0, "AT")
WEATHER = ("ghi_wm2", "temperature_c", "wind_speed_ms")


def history(days: int, *, end: datetime = MONDAY, seed: int = 0, minutes: int = 60, weather: bool = False) -> History:
    """A load with habits, weekends, and chance."""
    steps = days * 1440 // minutes
    grid = TimeGrid(end - timedelta(days=days), steps, minutes)
    clock = local_clock(grid, VIENNA.timezone)
    shape = 40 + 20 * np.sin((clock.hour - 9) / 24 * 2 * np.pi) - 8 * (clock.weekday >= 5)
    noise = np.random.default_rng(seed).normal(0, 3, steps)
    columns = {name: np.abs(np.random.default_rng(9).normal(5, 3, steps)) for name in WEATHER} if weather else {}
    return History(grid, shape + noise, columns)


def warmed_history(
    days: int, *, end: datetime = MONDAY, seed: int = 0, minutes: int = 60, weather: tuple[str, ...] = ()
) -> History:
    """A load with habits, weekends, warmth and chance."""
    grid = TimeGrid(end - timedelta(days=days), days * 1440 // minutes, minutes)
    clock, chance = local_clock(grid, VIENNA.timezone), np.random.default_rng(seed)
    known = {name: 5 + np.abs(np.random.default_rng(9).normal(0, 3, grid.steps)) for name in weather}
    warmth = known.get("temperature_c", np.zeros(grid.steps))
    shape = 40 + 20 * np.sin((clock.hour - 9) / 24 * 2 * np.pi) - 8 * (clock.weekday >= 5) - warmth
    return History(grid, shape + chance.normal(0, 3, grid.steps), known)


def pv_history(days: int, orientation: Orientation, capacity: float = 500.0) -> History:
    grid = TimeGrid(MONDAY - timedelta(days=days), days * 96, 15)
    cloud = np.random.default_rng(4).choice([0.3, 0.6, 1.0], days * 96, p=[0.2, 0.3, 0.5])
    return History(grid, capacity * cloud * rated_output(VIENNA, grid, orientation, {}), {})


def task(past: History | None, *, variable: str = "load_kw", steps: int = 24, site: Site = VIENNA) -> ForecastTask:
    minutes = past.grid.step_minutes if past else 60
    issued_at = past.grid.end if past else MONDAY
    return ForecastTask(variable, TimeGrid(issued_at, steps, minutes), issued_at, site, past, None)

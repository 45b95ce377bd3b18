"""Communities for tests of the macro twin: their meters, the model learned from them, and what is known of the rest."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.priors import standard_household_kw
from digital_twin.macro_twin import OBSERVED, Metering, Plant
from digital_twin.macro_twin.calibration import TwinReadings, calibrate
from digital_twin.macro_twin.model import TwinModel, prior_model
from digital_twin.macro_twin.state import TwinState, advance, start_state

START = datetime(2026, 1, 5, tzinfo=UTC)


def plant(homes: int, zone: str = "UTC", *, pv_kw: float = 0.0, storage_kwh: float = 0.0) -> Plant:
    return Plant(homes, pv_kw, storage_kwh, storage_kwh / 4, 0.9, 0.8, zone)


def prior(of: Plant, step_minutes: int = 60, start: datetime = START) -> TwinModel:
    """The model before any reading."""
    week = TimeGrid(start, 7 * 1440 // step_minutes, step_minutes)
    expected_kw = of.num_prosumers * standard_household_kw(local_clock(week, of.timezone))
    return prior_model(of, week, expected_kw)


def readings(grid: TimeGrid, *, clear_sky: Array | None = None, **columns: Array) -> TwinReadings:
    """Readings by the names of the series: a vector is the community's own series, a matrix has a column a meter."""
    own, meters = np.full((grid.steps, len(OBSERVED)), np.nan), [np.empty((grid.steps, 0)) for _ in OBSERVED]
    for name, values in columns.items():
        if values.ndim == 1:
            own[:, OBSERVED.index(name)] = values
        else:
            meters[OBSERVED.index(name)] = np.ascontiguousarray(values)
    return TwinReadings(grid, own, tuple(meters), np.zeros(grid.steps) if clear_sky is None else clear_sky)


def metering(**counts: int) -> tuple[Metering, ...]:
    """So many meters of each series, which together are the whole."""
    return tuple(Metering(tuple(f"home_{one}" for one in range(counts.get(name, 0)))) for name in OBSERVED)


@dataclass(frozen=True, slots=True, eq=False)
class Homes:
    """Loads of homes from `start` on, the first days of which are the twin's history."""

    load_kw: Array  # (T, N)
    step_minutes: int
    zone: str = "UTC"
    start: datetime = START

    def between(self, first: int, last: int, reports: Array | None = None) -> TwinReadings:
        """What the meters that report (all of them, without a mask) show in these steps."""
        step = timedelta(minutes=self.step_minutes)
        grid = TimeGrid(self.start + first * step, last - first, self.step_minutes)
        shown = self.load_kw[first:last]
        return readings(grid, load_kw=shown if reports is None else np.where(reports, shown, np.nan))

    def learn(self, steps: int) -> tuple[TwinModel, TwinState]:
        """The model and the state after the first steps, in which everyone reports."""
        homes = self.load_kw.shape[1]
        history = self.between(0, steps)
        model = calibrate(
            prior(plant(homes, self.zone), self.step_minutes, self.start), metering(load_kw=homes), history
        )
        return model, advance(start_state(model, self.start), model, history).state


def lively_homes(homes: int, days: int, *, step_minutes: int = 60, seed: int = 0) -> Homes:
    """Homes of their own size and hours under one common weather, each with a chance of its own."""
    generator = np.random.default_rng(seed)
    steps = days * 1440 // step_minutes
    hours = np.arange(steps) * step_minutes / 60
    size, peak = generator.lognormal(-0.8, 0.6, homes), generator.normal(18.5, 2.0, homes)
    habit = 0.6 + 0.9 * np.exp(-(((hours[:, None] - peak + 12) % 24 - 12) ** 2) / 18)
    common = 1 + 0.25 * _memory(generator, steps, 1, 0.97)
    own = np.exp(0.5 * _memory(generator, steps, homes, 0.5) - 0.125)
    return Homes(size * habit * np.maximum(common, 0.2) * own, step_minutes)


def _memory(generator: np.random.Generator, steps: int, columns: int, decay: float) -> Array:
    """First-order processes of variance 1."""
    values = generator.standard_normal((steps, columns))
    for step in range(1, steps):
        values[step] = decay * values[step - 1] + np.sqrt(1 - decay**2) * values[step]
    return values

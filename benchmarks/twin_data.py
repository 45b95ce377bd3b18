"""Metered communities that the macro twin is judged on, each cut into learn, develop and test, and who is silent when.

Settings are chosen on `learn` and `develop`; the benchmark's table alone looks at `test`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.real_series import DATA
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array

Mask = NDArray[np.bool_]

OUTAGE_DAYS = 3.0
"""Mean length of a silence that lasts for days."""


@dataclass(frozen=True, slots=True, eq=False)
class MeteredCommunity:
    """Complete readings of all meters of a community."""

    name: str
    timezone: str
    grid: TimeGrid
    load_kw: Array  # (T, N)
    learn_days: int
    develop_days: int

    @property
    def a_day(self) -> int:
        return 1440 // self.grid.step_minutes

    @property
    def learn(self) -> slice:
        return slice(0, self.learn_days * self.a_day)

    @property
    def develop(self) -> slice:
        return slice(self.learn.stop, self.learn.stop + self.develop_days * self.a_day)

    @property
    def test(self) -> slice:
        return slice(self.develop.stop, self.grid.steps)

    def span(self, part: slice) -> TimeGrid:
        """The grid of a part."""
        return TimeGrid(self.grid.instant(part.start), part.stop - part.start, self.grid.step_minutes)


def swiss_homes() -> MeteredCommunity:
    """536 homes of a survey over seven weeks of winter; one of 537 is left out, whose meter jumps by 460 kW."""
    frame = pd.read_parquet(DATA / "ch_households537" / "meters_15min_wide.parquet").set_index("time_local")
    load_kw = 4 * frame.to_numpy(dtype=np.float64)
    load_kw = load_kw[:, load_kw.min(axis=0) > -100]
    start = datetime(2018, 10, 28, 23, tzinfo=UTC)
    grid = TimeGrid(start, len(load_kw), 15)
    return MeteredCommunity("536 Swiss homes", "Etc/GMT-1", grid, np.ascontiguousarray(load_kw), 21, 14)


def californian_homes() -> MeteredCommunity:
    """17 homes in Fontana over a year, hourly."""
    frame = pd.read_parquet(DATA / "citylearn2022" / "meters.parquet")
    wide = frame.pivot(index="time", columns="building", values="load_kwh")["2016-08-01":]
    load_kw = wide.to_numpy(dtype=np.float64)
    load_kw = load_kw[: len(load_kw) // 24 * 24]
    grid = TimeGrid(datetime(2016, 8, 1, 8, tzinfo=UTC), len(load_kw), 60)
    return MeteredCommunity("17 homes in California", "Etc/GMT+8", grid, np.ascontiguousarray(load_kw), 120, 60)


COMMUNITIES: dict[str, Callable[[], MeteredCommunity]] = {
    "ch_households537": swiss_homes,
    "citylearn2022": californian_homes,
}
"""By the folder that the data lie in."""


def at_random(seed: int, shape: tuple[int, int], missing: float, a_day: int) -> Mask:
    """Whether a meter reports: each reading is lost by itself."""  # (T, N)
    return np.random.default_rng(seed).random(shape) >= missing


def for_days(seed: int, shape: tuple[int, int], missing: float, a_day: int) -> Mask:
    """Silences of three days in the mean, between which a meter reports for as long as makes up the share."""
    steps, meters = shape
    rng = np.random.default_rng(seed)
    silent, speaking = OUTAGE_DAYS * a_day, OUTAGE_DAYS * a_day * (1 - missing) / missing
    reports = np.empty(shape, dtype=np.bool_)
    for meter in range(meters):
        begin, is_silent = 0, bool(rng.random() < missing)  # exponential lengths: any instant is like the first
        while begin < steps:
            length = max(1, round(rng.exponential(silent if is_silent else speaking)))
            reports[begin : begin + length, meter] = not is_silent
            begin, is_silent = begin + length, not is_silent
    return reports


def always_the_same(seed: int, shape: tuple[int, int], missing: float, a_day: int) -> Mask:
    """Some meters report, the others never do."""
    steps, meters = shape
    silent = np.random.default_rng(seed).permutation(meters) < round(missing * meters)
    return np.tile(~silent, (steps, 1))


SILENCES = {"at random": at_random, "for days": for_days, "always the same": always_the_same}


@dataclass(frozen=True, slots=True, eq=False)
class Imputers:
    """Four ways to fill in who is silent, none of which looks ahead; what they know is learned from complete days."""

    profile: Array  # (K, N) mean of each meter by day type and slot
    share: Array  # (S, N) part of the whole by slot
    last: Array  # (N,) the last readings known

    @classmethod
    def learned(cls, load_kw: Array, kind: NDArray[np.int64], slot: NDArray[np.int64]) -> "Imputers":
        """From complete readings, (T, N), with the day type and slot of each step."""
        number = np.bincount(kind)
        profile = np.stack([np.bincount(kind, one) for one in load_kw.T], axis=1) / np.maximum(number, 1)[:, None]
        of_slot = np.stack([np.bincount(slot, one) for one in load_kw.T], axis=1)
        return cls(profile, of_slot / of_slot.sum(axis=1, keepdims=True), load_kw[-1])

    def all(self, shown: Array, kind: NDArray[np.int64], slot: NDArray[np.int64]) -> dict[str, Array]:
        """The sum of all meters by each way, from readings with NaN where a meter is silent."""
        reports = np.isfinite(shown)
        total, number = np.nansum(shown, axis=1), reports.sum(axis=1)
        covered = (self.share[slot] * reports).sum(axis=1)
        held = pd.DataFrame(np.vstack([self.last, shown])).ffill().to_numpy()[1:]
        found = {
            "N/n scaling": np.divide(
                shown.shape[1] * total, number, out=np.full(number.size, np.nan), where=number > 0
            ),
            "share scaling": np.divide(total, covered, out=np.full(covered.shape, np.nan), where=covered > 0),
            "last value": held.sum(axis=1),
            "profile": np.where(reports, shown, self.profile[kind]).sum(axis=1),
        }
        return {name: pd.Series(one).ffill().bfill().to_numpy() for name, one in found.items()}


def with_outliers(seed: int, shown: Array, part: float = 0.01) -> Array:
    """So large a part of the readings wrong: 0, ten or a hundred times as large, or of the other sign."""
    rng = np.random.default_rng(seed)
    factor = rng.choice([0.0, 10.0, 100.0, -1.0], shown.shape)
    return np.where(rng.random(shown.shape) < part, factor * shown, shown)

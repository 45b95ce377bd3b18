"""When a plant did not generate what it could: it stood still, or something held it back.

Neither tells how it generates, so that both are left out of learning. Snow on the modules looks like a standstill.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Site
from digital_twin.forecasting.local_days import Indices

Flags = NDArray[np.bool_]

STANDSTILL_SHARE = 0.02
"""Even a day of thick cloud leaves more of what a clear one yields."""
JUDGED_SHARE = 0.05
"""Days on which less than this share of the best one is expected are too dark to judge."""
STILL_HOURS, STILL_SHARE, STILL_EXPECTED = 2.0, 0.005, 0.2
HELD_HOURS, HELD_STEPS, HELD_SPREAD, HELD_SHARE, HELD_BACK = 2.0, 3, 0.005, 0.05, 1.1
"""Held for two hours within half a per cent of what is rated: around noon a clear sky alone changes five times that."""
LIMIT_SHARE, LIMIT_STEPS = 0.01, 8


@dataclass(frozen=True, slots=True, eq=False)
class Faults:
    """Intervals that are left out of learning, and the limit that the inverters showed."""

    stood_still: Flags  # (T,)
    held_back: Flags  # (T,)
    at_limit: Flags  # (T,)
    limit_kw: float | None

    @property
    def is_any(self) -> Flags:
        return self.stood_still | self.held_back

    def left_out(self, site: Site, grid: TimeGrid) -> "LeftOut":
        return LeftOut(
            int(np.unique(solar_days(site, grid)[self.stood_still]).size), float(self.held_back.sum() * grid.step_hours)
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How much a plant was not learned from."""

    still_days: int = 0
    held_hours: float = 0.0

    def told(self) -> tuple[str, ...]:
        """What a reader should know of it."""
        told: list[str] = []
        if self.still_days:
            days = "1 day" if self.still_days == 1 else f"{self.still_days} days"
            told.append(f"{days} with a standstill or snow, on which the sun shone in vain, were left out of learning")
        if self.held_hours:
            told.append(f"{self.held_hours:g} hours in which generation was held at a limit were left out of learning")
        return tuple(told)


NOTHING = LeftOut()


def solar_days(site: Site, grid: TimeGrid) -> Indices:
    """Days from midnight to midnight by the sun, since 1970-01-01."""  # (T,)
    return np.floor((grid.starts.astype(np.float64) + site.longitude * 240) / 86_400).astype(np.int64)


def find_faults(site: Site, grid: TimeGrid, actual_kw: Array, expected_kw: Array) -> Faults:
    """Compare what was generated with what was expected of the sky, which is NaN where that is not known."""
    rated_kw = float(np.nanmax(expected_kw, initial=0.0))
    limit_kw = _limit(actual_kw, expected_kw, rated_kw)
    able_kw = np.nan_to_num(expected_kw if limit_kw is None else np.minimum(expected_kw, limit_kw))
    days = solar_days(site, grid)
    is_still = (actual_kw <= STILL_SHARE * rated_kw) & (able_kw > STILL_EXPECTED * rated_kw)
    still_for = _run_lengths(is_still) * grid.step_hours
    still = _still_days(days, actual_kw, able_kw) | (is_still & (still_for >= STILL_HOURS))
    held = _held_back(grid, actual_kw, able_kw, rated_kw)
    at_limit = np.zeros_like(held) if limit_kw is None else actual_kw >= limit_kw - HELD_SPREAD * rated_kw
    return Faults(still, held & ~at_limit, at_limit, limit_kw)


def _still_days(days: Indices, actual_kw: Array, able_kw: Array) -> Flags:
    known = np.isfinite(actual_kw)
    number = days - days[0]
    made = np.bincount(number, weights=np.where(known, actual_kw, 0.0))
    could = np.bincount(number, weights=np.where(known, able_kw, 0.0))
    is_still = (could > JUDGED_SHARE * could.max(initial=0.0)) & (made < STANDSTILL_SHARE * could)
    return is_still[number]


def _held_back(grid: TimeGrid, actual_kw: Array, able_kw: Array, rated_kw: float) -> Flags:
    """Stretches at one level while more was possible throughout."""
    level_kw = HELD_SPREAD * rated_kw
    below = (actual_kw > HELD_SHARE * rated_kw) & (able_kw > HELD_BACK * actual_kw)
    like_before = below & np.roll(below, 1) & (np.abs(np.diff(actual_kw, prepend=np.nan)) <= level_kw)
    needed = max(HELD_STEPS, round(HELD_HOURS / grid.step_hours))
    held = np.zeros(actual_kw.size, dtype=np.bool_)
    for begin, end in _runs(like_before):
        stretch = actual_kw[begin - 1 : end]
        if stretch.size >= needed and np.ptp(stretch) <= level_kw:
            held[begin - 1 : end] = True
    return held


def _limit(actual_kw: Array, expected_kw: Array, rated_kw: float) -> float | None:
    """The highest output where many share it although more was expected."""
    lit = np.isfinite(actual_kw) & (np.nan_to_num(expected_kw) > STILL_EXPECTED * rated_kw)
    if not lit.any():
        return None
    highest = float(actual_kw[lit].max())
    at_it = lit & (actual_kw >= highest - HELD_SPREAD * rated_kw)
    more = at_it & (expected_kw > highest * (1 + HELD_SPREAD))
    is_limit = more.sum() >= max(LIMIT_STEPS, LIMIT_SHARE * lit.sum()) and more.sum() > at_it.sum() / 2
    return highest if is_limit else None


def _run_lengths(flags: Flags) -> Indices:
    """How many flags in a row there are around each that is set; 0 where it is not."""
    lengths = np.zeros(flags.size, dtype=np.int64)
    for begin, end in _runs(flags):
        lengths[begin:end] = end - begin
    return lengths


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Beginning and end of each stretch of flags."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))

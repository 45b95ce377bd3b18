"""The intervals of a file: how long, named by start or end, and values at their places in a row without holes."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportReturnType=false

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digital_twin.cli.meter_files.guesses import Notes
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.meter_files.time_column import Stamps, label_word
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import MAX_STEPS, RESOLUTIONS_MINUTES, TimeGrid
from digital_twin.domain.units import Array

if TYPE_CHECKING:
    import pandas as pd

MIXED_RUN = 12
STRAY_SHARE = 0.05
CONFLICT_SHARE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Values of one series on a grid; NaN where there is none."""

    who: str
    grid: TimeGrid
    values: Array  # (T,)


def resolution_of(utc: "pd.Series", options: ImportOptions, notes: Notes) -> int:
    """Minutes between stamps.

    Raises:
        InvalidInput: no usual interval.
    """
    if options.resolution_minutes is not None:
        if options.resolution_minutes not in RESOLUTIONS_MINUTES:
            allowed = ", ".join(map(str, RESOLUTIONS_MINUTES))
            raise InvalidInput(f"--resolution must be one of {allowed}", field="resolution")
        return options.resolution_minutes
    steps = utc.dropna().drop_duplicates().sort_values().diff().dropna().dt.total_seconds() / 60
    minutes = float(steps.mode().iloc[0]) if len(steps) else 0.0
    share = float((steps == minutes).mean()) if len(steps) else 0.0
    if minutes not in RESOLUTIONS_MINUTES or share < 0.9:
        raise InvalidInput(
            f"the interval cannot be told: {share:.0%} of the stamps are {minutes:g} minutes apart; "
            "give it with --resolution MINUTES",
            field="resolution",
        )
    notes.guess("interval", f"{minutes:g} minutes", f"{share:.1%} of the stamps are that far apart")
    return int(minutes)


def label_of(stamps: Stamps, minutes: int, options: ImportOptions, notes: Notes) -> str:
    """Whether a stamp names the start or the end of its interval.

    Raises:
        InvalidInput: it cannot be told.
    """
    if options.label is not None:
        return options.label
    for column in stamps.columns:
        if label := label_word(column):
            notes.guess("label", label, f"the column is called {column}")
            return label
    times, zone = stamps.times, options.timezone or options.community_zone
    if times.dt.tz is not None and zone is not None:
        times = times.dt.tz_convert(zone)
    first, last = times.min(), times.max()
    first_minute, last_minute = first.hour * 60 + first.minute, last.hour * 60 + last.minute
    if first_minute == 0 and last_minute == 1440 - minutes:
        notes.guess("label", "start", f"the file runs from 00:00 to {last:%H:%M}")
        return "start"
    if first_minute == minutes and last_minute == 0:
        notes.guess("label", "end", f"the file runs from {first:%H:%M} to 00:00")
        return "end"
    raise InvalidInput(
        "do the times name the start or the end of each interval? say --label start or --label end", field="label"
    )


def place(who: str, seconds: NDArray[np.int64], values: Array, minutes: int, notes: Notes) -> Placed | None:
    """Values from the first to the last stamp; gaps, doubles and stray stamps become findings; None without any.

    Raises:
        InvalidInput: the stamps do not fit the interval, or the same stamps have many different values.
    """
    known = np.isfinite(values)
    seconds, values = seconds[known], values[known]
    step = 60 * minutes
    stray = seconds % step != 0
    if not seconds.size:
        return None
    if stray.mean() > STRAY_SHARE:
        raise InvalidInput(
            f"{stray.mean():.0%} of the stamps of {who} are not on full {minutes} minutes, such as "
            f"{_shown(seconds[stray])}; give the right --resolution",
            field="resolution",
        )
    notes.find("stamps off the intervals, left out", who, int(stray.sum()), _shown(seconds[stray]))
    order = np.argsort(seconds[~stray], kind="stable")
    seconds, values = seconds[~stray][order], values[~stray][order]
    again = np.append(seconds[1:] == seconds[:-1], False)  # the last one of a stamp stays
    _note_doubles(who, seconds, values, again, notes)
    seconds, values = seconds[~again], values[~again]
    _refuse_mixed_intervals(who, seconds, step)
    places = (seconds - seconds[0]) // step
    if places[-1] >= MAX_STEPS:
        raise InvalidInput(
            f"{who} runs from {_shown(seconds)} to {_shown(seconds[-1:])}, more than {MAX_STEPS:,} intervals: is a "
            "time wrong? else import the file in parts",
            field="time-column",
        )
    grid = TimeGrid(datetime.fromtimestamp(int(seconds[0]), UTC), int(places[-1]) + 1, minutes)
    laid_out = np.full(grid.steps, np.nan)
    laid_out[places] = values
    gaps = np.flatnonzero(np.isnan(laid_out))
    notes.find("intervals without a reading", who, gaps.size, _shown(seconds[0] + step * gaps))
    return Placed(who, grid, laid_out)


def _note_doubles(who: str, seconds: NDArray[np.int64], values: Array, again: NDArray[np.bool_], notes: Notes) -> None:
    differs = again & np.append(values[1:] != values[:-1], False)
    if differs.mean() > CONFLICT_SHARE:
        raise InvalidInput(
            f"{who} has {differs.sum()} stamps twice with different values; does a column name the member or the "
            "series? give --member-column or --series-column",
            field="member-column",
        )
    same = again & ~differs
    notes.find("stamps twice with the same value", who, int(same.sum()), _shown(seconds[same]))
    notes.find(
        "stamps twice with different values, the last one taken", who, int(differs.sum()), _shown(seconds[differs])
    )


def _refuse_mixed_intervals(who: str, seconds: NDArray[np.int64], step: int) -> None:
    """A long row of wider steps is another interval, not a gap: its energies would count several times."""
    steps = np.diff(seconds)
    if not steps.size:
        return
    changes = np.flatnonzero(np.diff(steps)) + 1
    starts = np.concatenate([[0], changes])
    lengths = np.diff(np.concatenate([starts, [steps.size]]))
    other = (steps[starts] != step) & (lengths >= MIXED_RUN)
    sizes, counts = np.unique(steps, return_counts=True)
    usual_is_other = steps.size >= 3 and sizes[np.argmax(counts)] != step
    if other.any() or usual_is_other:
        at = int(starts[other][0]) if other.any() else int(np.flatnonzero(steps != step)[0])
        raise InvalidInput(
            f"the readings of {who} are {steps[at] / 60:g} minutes apart from {_shown(seconds[at:])} on, others "
            f"{step / 60:g}: import each part by itself, with its own --resolution",
            field="resolution",
        )


def _shown(seconds: NDArray[np.int64]) -> str:
    if not seconds.size:
        return ""
    return f"{datetime.fromtimestamp(int(seconds[0]), UTC):%Y-%m-%d %H:%M} UTC"


def shifted(placed: Placed, minutes: int) -> Placed:
    """The same values so many minutes earlier."""
    grid = placed.grid
    start = grid.start - timedelta(minutes=minutes)
    return Placed(placed.who, TimeGrid(start, grid.steps, grid.step_minutes), placed.values)


def on_common_grid(parts: list[Placed]) -> tuple[TimeGrid, list[Array]]:
    """Every part's values on the grid that spans them all."""
    start, end = min(one.grid.start for one in parts), max(one.grid.end for one in parts)
    grid = TimeGrid.spanning(start, end, parts[0].grid.step_minutes)
    laid_out: list[Array] = []
    for one in parts:
        values = np.full(grid.steps, np.nan)
        first = (one.grid.start - start) // grid.step
        values[first : first + one.grid.steps] = one.values
        laid_out.append(values)
    return grid, laid_out

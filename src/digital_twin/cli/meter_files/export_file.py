"""The form that `digital-twin export` writes, which needs no guesses."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digital_twin.cli.meter_files.guesses import Notes
from digital_twin.cli.meter_files.intervals import Placed, place
from digital_twin.cli.meter_files.numbers_in_text import read_numbers
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.meter_files.time_text import parse_times
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.quality import WORDS, Flags, told_flags
from digital_twin.domain.readings import SeriesKey, SeriesValues

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("series", "start", "value", "member_id", "asset_id", "resolution_minutes", "quality")


def is_export(table: "pd.DataFrame") -> bool:
    """Whether the table has exactly the columns of an export."""
    return tuple(table.columns) == _COLUMNS


def read_export(table: "pd.DataFrame", notes: Notes) -> list[SeriesValues]:
    """Its series.

    Raises:
        InvalidInput: it was changed into something that is no export any more.
    """
    notes.guess("form", "an export of digital-twin", "it has exactly those columns")
    times = parse_times(table["start"], ImportOptions(), notes)
    if times.dt.tz is None or times.isna().any():
        raise InvalidInput("the starts in an export are UTC, such as 2026-03-01T00:00:00Z; mend the file")
    numbers = read_numbers(table["value"], ".")
    resolutions = read_numbers(table["resolution_minutes"], ".").values
    if numbers.strange.any() or np.isnan(resolutions).any():
        raise InvalidInput(f"an export has numbers as values and resolutions, not {numbers.example!r}; mend the file")
    seconds = times.dt.as_unit("s").astype("int64").to_numpy()
    flags = _flags(table["quality"])
    ids = table[["series", "member_id", "asset_id"]].astype("object").fillna("").astype("str")
    made: list[SeriesValues] = []
    for rows in ids.groupby(["series", "member_id", "asset_id"], sort=False).indices.values():
        name, member, asset = (str(part).removeprefix("'") for part in ids.iloc[rows[0]])
        minutes = np.unique(resolutions[rows])
        if minutes.size > 1:
            raise InvalidInput(f"{name} has several resolutions in one file; import each by itself")
        placed = place(member or name, seconds[rows], numbers.values[rows], int(minutes[0]), notes)
        if placed is not None:
            own = _placed_flags(placed, seconds[rows], flags[rows])
            made.append(SeriesValues(SeriesKey(name, member or None, asset or None), placed.grid, placed.values, own))
    return made


def _flags(column: "pd.Series") -> Flags:
    words = column.astype("object").fillna("measured").replace("", "measured")
    if not words.isin(WORDS).all():
        raise InvalidInput(f"the quality in an export is one of {', '.join(WORDS)}; mend the file")
    return words.map(WORDS.index).to_numpy(np.uint8)


def _placed_flags(placed: Placed, seconds: NDArray[np.int64], flags: Flags) -> Flags | None:
    """The quality of each value on its grid; None where all are measured."""
    if not flags.any():
        return None
    steps = (seconds - int(placed.grid.start.timestamp())) // (60 * placed.grid.step_minutes)
    inside = (steps >= 0) & (steps < placed.grid.steps)
    found = np.zeros(placed.grid.steps, dtype=np.uint8)
    found[steps[inside]] = flags[inside]
    return told_flags(placed.values, found)

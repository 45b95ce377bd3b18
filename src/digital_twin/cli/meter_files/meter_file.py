"""Understanding a meter file: what is guessed is shown, what would change numbers is asked, nothing is silent."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportReturnType=false

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digital_twin.cli.meter_files import cleaning
from digital_twin.cli.meter_files.assignment import Assigned, assign
from digital_twin.cli.meter_files.channels import Layout, channels_of, layout_of
from digital_twin.cli.meter_files.export_file import is_export, read_export
from digital_twin.cli.meter_files.guesses import MeterFile, Notes
from digital_twin.cli.meter_files.intervals import Placed, label_of, place, resolution_of, shifted
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.meter_files.registers import Parts, combined
from digital_twin.cli.meter_files.table_reading import read_table
from digital_twin.cli.meter_files.time_column import Stamps, read_stamps
from digital_twin.cli.meter_files.time_zone_reading import to_utc
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.units import SeriesKind, canonical_unit, to_canonical

if TYPE_CHECKING:
    import pandas as pd


def read_meter_file(path: Path, options: ImportOptions) -> MeterFile:
    """The readings of a file.

    Raises:
        InvalidInput: with the flag that would settle it, when something that changes numbers cannot be told.
    """
    notes = Notes([], [])
    table, decimal = read_table(path, options, notes)
    columns = read_export(table, notes) if is_export(table) else _understood(table, decimal, options, notes)
    if not any(np.isfinite(one.values).any() for one in columns):
        raise InvalidInput(f"{path.name} holds no reading", field="file")
    return MeterFile(tuple(columns), tuple(notes.guesses), tuple(notes.findings))


def _understood(table: "pd.DataFrame", decimal: str, options: ImportOptions, notes: Notes) -> list[SeriesValues]:
    stamps = read_stamps(table, options, notes)
    table, stamps = _with_times(table, stamps, notes)
    layout = layout_of(table, stamps, options, notes)
    assigned = assign(channels_of(table, stamps, layout, decimal, options, notes), layout, options, notes)
    utc = to_utc(stamps, _groups(table, layout), options, notes)
    reading = _Reading(stamps, resolution_of(utc, options, notes), options, notes)
    seconds = utc.dt.as_unit("s").astype("int64").to_numpy()
    by_member: dict[str | None, Parts] = {}
    for one in assigned:
        placed = reading.placed(one, seconds)
        if placed is not None:
            by_member.setdefault(one.member, {})[one.series or str(one.role)] = placed
    series: list[SeriesValues] = []
    for member, parts in by_member.items():
        for made in combined(member, parts, notes):
            who = member or made.key.name
            kept = cleaning.without_negatives(Placed(who, made.grid, made.values), made.key.name, "kW", options, notes)
            series.append(SeriesValues(made.key, kept.grid, kept.values))
    return series


def _with_times(table: "pd.DataFrame", stamps: Stamps, notes: Notes) -> "tuple[pd.DataFrame, Stamps]":
    """The rows that have a time."""
    timeless = stamps.times.isna()
    notes.find("rows without a time, left out", stamps.columns[0], int(timeless.sum()), "")
    kept = stamps.times[~timeless].reset_index(drop=True)
    return table[~timeless.to_numpy()].reset_index(drop=True), Stamps(kept, stamps.columns)


def _groups(table: "pd.DataFrame", layout: Layout) -> "pd.Series | None":
    """What rows of the same time differ by."""
    keys = [table[column].astype("str") for column in (layout.member, layout.series) if column is not None]
    if not keys:
        return None
    return keys[0] if len(keys) == 1 else keys[0] + "\n" + keys[1]


@dataclass(slots=True)
class _Reading:
    """One pass through the channels of a file."""

    stamps: Stamps
    minutes: int
    options: ImportOptions
    notes: Notes

    def placed(self, one: Assigned, seconds: NDArray[np.int64]) -> Placed | None:
        """A channel's values on its grid in the unit of its series; None where it has none."""
        notes, options = self.notes, self.options
        placed = place(one.who, seconds[one.channel.rows], one.channel.values, self.minutes, notes)
        if placed is None:
            notes.find("series without a reading", one.who, 1, one.channel.name)
            return None
        series = one.series or "net_load_kw"
        if cleaning.is_register(one.who, placed.values, one.kind, options, notes):
            placed = cleaning.differenced(placed, notes)  # a count is read at an instant, which has no label
        elif one.kind is not SeriesKind.INSTANT and label_of(self.stamps, self.minutes, options, notes) == "end":
            placed = shifted(placed, self.minutes)
        hours = placed.grid.step_hours
        if canonical_unit(series)[0] == "kW":
            to_kw = float(to_canonical(np.ones(1), series, one.unit, one.kind, hours)[0])
            placed = cleaning.without_glitches(placed, to_kw, one.unit, options, notes)
        if one.series is None:  # neither register may fall below nothing, though their difference may
            placed = cleaning.without_negatives(placed, "load_kw", one.unit, options, notes)
        values = to_canonical(placed.values, series, one.unit, one.kind, hours)
        if one.member is not None and canonical_unit(series)[0] == "kW":
            cleaning.doubt_unit(one.who, values, options, notes)
        return Placed(one.who, placed.grid, values)

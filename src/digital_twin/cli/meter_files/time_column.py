"""The time column: which one it is, and what its stamps say."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportReturnType=false

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from digital_twin.cli.meter_files.guesses import Notes
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.meter_files.time_text import parse_times
from digital_twin.cli.meter_files.words import tokens_of
from digital_twin.domain.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

_NAMES = (
    "time", "date", "datetime", "timestamp", "stamp", "zeit", "zeitstempel", "datum", "uhrzeit", "fecha", "hora", "ora",
    "data", "horodate", "start", "begin", "beginn", "von", "from", "end", "ende", "bis", "until", "epoch", "utc",
)  # fmt: skip
_STARTS = ("start", "begin", "beginn", "beginning", "from", "von", "ab", "inizio", "début", "debut", "inicio")
_ENDS = ("end", "ende", "ending", "until", "to", "bis", "fine", "fin")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.0+)?)?(?:\s*[AaPp][Mm])?")
_SAMPLE = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Stamps:
    """The times of the rows as written: aware where they carry an offset, else naive; NaT where there is none."""

    times: "pd.Series"
    columns: tuple[str, ...]  # those that held them


def read_stamps(table: "pd.DataFrame", options: ImportOptions, notes: Notes) -> Stamps:
    """The time of each row.

    Raises:
        InvalidInput: no column of times, or not the one named, or a time that cannot be read.
    """
    column = _time_column(table, options, notes)
    times = parse_times(table[column], options, notes)
    clock = _clock_column(table, column, times)
    if clock is not None:
        notes.guess("clock column", clock, f"{column} holds dates alone")
        dates = times.dt.strftime("%Y-%m-%d").where(times.notna(), "")
        together = (dates + " " + table[clock].astype("str").str.strip()).where(times.notna(), "")
        times = parse_times(together, options, notes)
    columns = (column,) if clock is None else (column, clock)
    try:
        return Stamps(times.dt.as_unit("ns").dt.round("s"), columns)
    except (ValueError, OverflowError) as error:
        raise InvalidInput("a time lies outside 1970..2100", field="time-column") from error


def _time_column(table: "pd.DataFrame", options: ImportOptions, notes: Notes) -> str:
    import pandas as pd

    if options.time_column is not None:
        if options.time_column not in table:
            raise InvalidInput(
                f"there is no column {options.time_column!r}; there are {listed(table)}", field="time-column"
            )
        return options.time_column
    typed = [column for column in table if pd.api.types.is_datetime64_any_dtype(table[column])]
    if typed:
        column = next((one for one in typed if label_word(one) == "start"), typed[0])
        notes.guess("time column", column, "it holds times")
        return column
    named = [column for column in table if any(token in _NAMES for token in tokens_of(column))]
    for column in named:
        if _parses(table[column], options):
            notes.guess("time column", column, "its name and content are times")
            return column
    if named and not _CLOCK.fullmatch(str(table[named[0]].iloc[0]).strip()):
        parse_times(table[named[0]], options, notes)  # says what is wrong with it
    for column in table:
        if not pd.api.types.is_numeric_dtype(table[column]) and _parses(table[column], options):
            notes.guess("time column", column, "its content is times")
            return column
    raise InvalidInput(
        f"which column holds the times? name it with --time-column; there are {listed(table)}", field="time-column"
    )


def listed(table: "pd.DataFrame") -> str:
    """The names of the first columns."""
    names = [str(column) for column in table.columns[:10]]
    return ", ".join(names) + (", ..." if table.shape[1] > 10 else "")


def _parses(values: "pd.Series", options: ImportOptions) -> bool:
    """Whether the first values are times, or dates in an order that the rest may tell."""
    try:
        first = parse_times(values.head(_SAMPLE), options, Notes([], []))
    except InvalidInput as error:
        return error.facts.get("field") == "dates"
    return bool(first.notna().mean() > 0.5)


def _clock_column(table: "pd.DataFrame", date_column: str, times: "pd.Series") -> str | None:
    """The column with the time of day, where the dates have none."""
    known = times.dropna()
    if known.empty or (known != known.dt.normalize()).any() or not known.duplicated().any():
        return None
    for column in table:
        if column != date_column:
            cells = table[column].head(_SAMPLE).astype("str").str.strip()
            if cells.str.fullmatch(_CLOCK.pattern).all():
                return column
    return None


def label_word(column: str) -> str | None:
    """What the name of a time column says of its place in the interval."""
    for token in tokens_of(column):
        if token in _STARTS:
            return "start"
        if token in _ENDS:
            return "end"
    return None

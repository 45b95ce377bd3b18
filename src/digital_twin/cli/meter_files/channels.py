"""The channels of a table: one stream of values each, whether the file is wide or long."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportReturnType=false

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digital_twin.cli.meter_files.guesses import Notes
from digital_twin.cli.meter_files.numbers_in_text import Numbers, read_numbers
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.meter_files.time_column import Stamps, listed
from digital_twin.cli.meter_files.words import identifier, meaning_of, tokens_of
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import COMMUNITY_SERIES
from digital_twin.domain.units import Array

if TYPE_CHECKING:
    import pandas as pd

_MEMBER_WORDS = (
    "member", "building", "household", "home", "house", "meter", "customer", "site", "prosumer", "pid", "lclid",
    "dataid", "zählpunkt", "zaehlpunkt", "zählpunktnummer", "haushalt", "kunde", "cups", "pod", "mpan",
)  # fmt: skip
_MEMBER_FILLERS = ("id", "no", "nr", "number", "name", "code", "key")
_SERIES_WORDS = ("series", "variable", "channel", "obis", "measurement", "quantity", "messgrösse")
_UNIT_WORDS = ("unit", "units", "einheit")
STRANGE_SHARE = 0.05
TEXT_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Which columns of a long file say whose and what the values are."""

    member: str | None
    series: str | None
    unit: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for column in (self.member, self.series, self.unit) if column is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """Values of one name, of one member where the file is long."""

    name: str
    unit: str | None
    member: str | None
    rows: NDArray[np.int64]
    values: Array


def layout_of(table: "pd.DataFrame", stamps: Stamps, options: ImportOptions, notes: Notes) -> Layout:
    """Wide or long.

    Raises:
        InvalidInput: the times repeat and no column says why, or a column that was named is not there.
    """
    free = [column for column in table if column not in stamps.columns]
    for flag, column in (("member-column", options.member_column), ("series-column", options.series_column)):
        if column is not None and column not in free:
            raise InvalidInput(f"there is no column {column!r}; there are {listed(table)}", field=flag)
    member = options.member_column or next((one for one in free if _names_members(table[one], len(free))), None)
    series = options.series_column or next((one for one in free if _is_text(table[one], _SERIES_WORDS)), None)
    unit = next((one for one in free if _is_text(table[one], _UNIT_WORDS)), None)
    if member is not None and options.member_column is None:
        notes.guess("layout", f"long, one row per {member} and time", "its name and content are members")
    if series is not None and options.series_column is None:
        notes.guess("series column", series, "its name and content are series")
    told_once = stamps.times[~table.duplicated().to_numpy()]  # the same line again is no other member's
    if member is None and series is None and told_once.duplicated().mean() > 0.4:
        raise InvalidInput(
            "the times repeat: which column names the member or the series? give --member-column or --series-column; "
            f"there are {listed(table[free])}",
            field="member-column",
        )
    if member is not None and options.member is not None:
        raise InvalidInput(f"the file has members of its own in {member!r}; leave out --member", field="member")
    return Layout(member, series, unit)


def _names_members(column: "pd.Series", free_columns: int) -> bool:
    """A column called after members, with few values that are ids, beside another that holds readings."""
    import pandas as pd

    words = [token for token in tokens_of(str(column.name)) if token not in _MEMBER_FILLERS]
    bare_id = not words and bool(tokens_of(str(column.name)))
    if free_columns < 2 or not (bare_id or (len(words) == 1 and words[0] in _MEMBER_WORDS)):
        return False
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 != 0).any():
        return False
    distinct = column.nunique()
    return distinct <= len(column) / 2 and (not bare_id or distinct > 1)


def _is_text(column: "pd.Series", words: tuple[str, ...]) -> bool:
    import pandas as pd

    called_so = any(token in words for token in tokens_of(str(column.name)))
    return called_so and not pd.api.types.is_numeric_dtype(column) and column.nunique() <= max(1, len(column) // 2)


def channels_of(
    table: "pd.DataFrame", stamps: Stamps, layout: Layout, decimal: str, options: ImportOptions, notes: Notes
) -> list[Channel]:
    """Every stream of values in the table.

    Raises:
        InvalidInput: no column holds numbers, or a column is only partly numbers.
    """
    groups = list(_groups(table, layout))
    channels: list[Channel] = []
    for column in _value_columns(table, stamps, layout, options):
        numbers = _numbers(table[column], decimal, options, notes)
        if numbers is None:
            continue
        for member, label, unit, rows in groups:
            channels.append(Channel(label or column, unit, member, rows, numbers.values[rows]))
    if not channels:
        raise InvalidInput(
            "no column holds readings; is the decimal sign right? give --decimal , or .", field="decimal"
        )
    return channels


def _value_columns(table: "pd.DataFrame", stamps: Stamps, layout: Layout, options: ImportOptions) -> list[str]:
    chosen = options.chosen_columns
    if chosen is None:
        return [column for column in table if column not in (*stamps.columns, *layout.columns)]
    for column in chosen:
        if column not in table:
            raise InvalidInput(f"there is no column {column!r}; there are {listed(table)}", field="columns")
    return chosen


def _numbers(column: "pd.Series", decimal: str, options: ImportOptions, notes: Notes) -> Numbers | None:
    """The column's numbers; None for one that is not meant to hold readings."""
    name = str(column.name)
    named = {*(options.chosen_columns or ()), options.import_column, options.export_column}
    numbers = read_numbers(column, decimal)
    if not numbers.filled:
        if name:
            notes.guess(f"column {name}", "left out", "it is empty")
        return None
    share = numbers.strange.sum() / numbers.filled
    if share > TEXT_SHARE and name not in named:
        notes.guess(f"column {name}", "left out", f"it holds no numbers, such as {numbers.example[:20]!r}")
        return None
    if share > STRANGE_SHARE:
        raise InvalidInput(
            f"{share:.0%} of the cells in {name!r} are no numbers with the decimal sign {decimal!r}, such as "
            f"{numbers.example[:20]!r}; give --decimal, or choose the columns with --columns",
            field="columns",
        )
    if name not in named and name not in COMMUNITY_SERIES:
        meaning = meaning_of(name)
        other = meaning.is_other
        if other is None and meaning.role is None and _counts_rows(numbers.values):
            other = "row numbers"
        if other is not None:
            because = "it counts the rows" if other == "row numbers" else f"its name says {other}"
            notes.guess(f"column {name or '(without a name)'}", "left out", f"{because}; --columns takes it")
            return None
    notes.find("cells that are no numbers, left out", name, int(numbers.strange.sum()), repr(numbers.example[:20]))
    return numbers


def _counts_rows(values: Array) -> bool:
    return values.size > 2 and values[0] in (0.0, 1.0) and bool((np.diff(values) == 1.0).all())


def _groups(table: "pd.DataFrame", layout: Layout) -> Iterator[tuple[str | None, str | None, str | None, Any]]:
    """Member, label and unit of the rows that belong together."""
    if layout.member is None and layout.series is None:
        yield None, None, _one_unit(table, layout, np.arange(len(table))), np.arange(len(table))
        return
    keys = [column for column in (layout.member, layout.series) if column is not None]
    for column in keys:
        empty = int((table[column].isna() | (table[column].astype("str").str.strip() == "")).sum())
        if empty:
            raise InvalidInput(f"{empty} rows have nothing in the column {column!r}; mend the file")
    ids: dict[str, object] = {}
    for key, rows in table.groupby(keys, sort=True).indices.items():
        parts = list(key) if isinstance(key, tuple) else [key]
        member = None
        if layout.member is not None:
            written = parts.pop(0)
            member = identifier(written)
            if ids.setdefault(member, written) != written:
                raise InvalidInput(f"the members {written!r} and {ids[member]!r} would both be called {member!r}")
        label = str(parts[0]) if parts else None
        yield member, label, _one_unit(table, layout, rows), rows


def _one_unit(table: "pd.DataFrame", layout: Layout, rows: NDArray[np.int64]) -> str | None:
    if layout.unit is None:
        return None
    units = table[layout.unit].iloc[rows].unique()
    if len(units) > 1:
        raise InvalidInput(f"the unit changes within a series: {units[0]!r} and {units[1]!r}; split the file")
    return str(units[0]).strip() or None

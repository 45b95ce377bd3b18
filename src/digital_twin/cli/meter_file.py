"""Understanding a meter file: what is guessed is shown, what would change numbers is asked, nothing is silent."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportReturnType=false

import re
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digital_twin.cli.guesses import Finding, Guess, ImportOptions, MeterFile
from digital_twin.cli.table_reading import read_table
from digital_twin.cli.time_column import find_time_column, label_of, parse_times, resolution_of, to_utc
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import COMMUNITY_SERIES, SeriesKey, SeriesValues, allowed_range
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array, SeriesKind, canonical_unit

if TYPE_CHECKING:
    import pandas as pd

_MEMBER_NAMES = ("member", "building", "household", "home", "meter", "customer", "site", "pid", "house")
_SERIES_WORDS = {
    "net": "net_load_kw",
    "load": "load_kw",
    "consum": "load_kw",
    "demand": "load_kw",
    "verbrauch": "load_kw",
    "pv": "pv_kw",
    "solar": "pv_kw",
    "generation": "pv_kw",
    "erzeugung": "pv_kw",
}
_UNIT = re.compile(r"(?:^|[\s_(\[])(kwh|wh|mwh|kw|w|mw)(?:[\s_)\]]|$)", re.IGNORECASE)
_UNITS = {"kwh": "kWh", "wh": "Wh", "mwh": "MWh", "kw": "kW", "w": "W", "mw": "MW"}
GLITCH_FACTOR = 20.0
NET_SHARE = 0.005


def read_meter_file(path: Path, options: ImportOptions) -> MeterFile:
    """The readings of a file.

    Raises:
        InvalidInput: with the flag that would settle it, when something that changes numbers cannot be told.
    """
    guesses: list[Guess] = []
    findings: list[Finding] = []
    table, reading_guesses = read_table(path, options)
    guesses += reading_guesses
    time_column = find_time_column(table, options, guesses)
    times = parse_times(table[time_column])
    member_column = _member_column(table, time_column, times, options, guesses)
    members = None if member_column is None else table[member_column].map(_identifier)
    utc = to_utc(times, members, options, findings)
    minutes = resolution_of(utc, options, guesses)
    if label_of(time_column, times, minutes, options, guesses) == "end":
        import pandas as pd

        utc = utc - pd.Timedelta(minutes=minutes)
    names = [column for column in table if column not in (time_column, member_column)]
    values = {name: numbers for name in names if (numbers := _numbers(table[name])) is not None}
    if not values:
        raise InvalidInput("no column holds numbers; is the decimal sign right? give --decimal , or .")
    columns: list[SeriesValues] = []
    for name, numbers in values.items():
        key_name, member_of_column = _series_of(name, len(values), member_column is not None, options, guesses)
        unit, kind = _unit_of(name, key_name, options, guesses)
        groups = [(member_of_column, slice(None))] if members is None else _groups(members)
        for member, rows in groups:
            series = _on_grid(SeriesKey(key_name, member), utc[rows], numbers[rows], minutes, findings)
            cleaned = _cleaned(series, unit, kind, options, findings)
            columns.append(SeriesValues.from_unit(series.key, series.grid, cleaned, unit, kind))
    return MeterFile(tuple(columns), tuple(dict.fromkeys(guesses)), tuple(findings))


def _member_column(
    table: "pd.DataFrame", time_column: str, times: "pd.Series", options: ImportOptions, guesses: list[Guess]
) -> str | None:
    if options.member_column is not None:
        if options.member_column not in table:
            raise InvalidInput(f"there is no column {options.member_column!r}", field="member-column")
        return options.member_column
    if not times.duplicated().mean() > 0.4:
        return None  # each time once: one row for all
    for column in table:
        if column != time_column and (column.lower() == "id" or any(name in column.lower() for name in _MEMBER_NAMES)):
            guesses.append(Guess("layout", f"long, one row per {column} and time", "times repeat and the name fits"))
            return column
    raise InvalidInput("the times repeat: which column names the member? give --member-column", field="member-column")


def _identifier(value: Any) -> str:
    text = str(value).strip()
    made = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:64]
    if not made.strip("_"):
        raise InvalidInput(f"{text!r} cannot become a member id of letters and digits")
    return made


def _numbers(column: "pd.Series") -> Array | None:
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().mean() < 0.1:
        return None
    return numbers.to_numpy(dtype=np.float64)


def _series_of(
    column: str, columns: int, is_long: bool, options: ImportOptions, guesses: list[Guess]
) -> tuple[str, str | None]:
    """The series a column holds, and in a wide file the member it belongs to."""
    lower = column.lower()
    word = next((word for word in _SERIES_WORDS if word in lower), None)
    if column in COMMUNITY_SERIES:
        return column, None
    if word is not None and (is_long or options.series is None):
        name = _SERIES_WORDS[word]
        guesses.append(Guess(f"column {column}", name, f"its name says {word}"))
        return name, None
    if options.series is None:
        raise InvalidInput(
            f"what does the column {column!r} hold? say --series load_kw, pv_kw or net_load_kw for the file",
            field="series",
        )
    if is_long or columns == 1:
        return options.series, None
    guesses.append(Guess("layout", "wide, one column per member", "column names are ids"))
    return options.series, _identifier(column)


def _unit_of(column: str, series: str, options: ImportOptions, guesses: list[Guess]) -> tuple[str, SeriesKind]:
    canonical = canonical_unit(series)
    if canonical[0] not in ("kW", "kWh"):
        return options.unit or canonical[0], canonical[1]
    found = _UNIT.search(column)
    unit = options.unit or (_UNITS[found.group(1).lower()] if found else None)
    if unit is None:
        raise InvalidInput(
            f"in which unit is {column!r}? say --unit kWh (energy per interval), Wh, kW or W", field="unit"
        )
    if options.unit is None:
        guesses.append(Guess(f"unit of {column}", unit, "its name says so"))
    if series.endswith("_soc_kwh"):
        return unit, SeriesKind.INSTANT
    return unit, SeriesKind.ENERGY if unit.endswith("h") else SeriesKind.MEAN


def _groups(members: "pd.Series") -> list[tuple[str, Any]]:
    found = [(str(member), rows.to_numpy()) for member, rows in members.groupby(members).groups.items()]
    return sorted(found, key=lambda group: group[0])


def _on_grid(key: SeriesKey, utc: "pd.Series", values: Array, minutes: int, findings: list[Finding]) -> SeriesValues:
    """Values at their places from the first to the last stamp; gaps, doubles and stray stamps become findings."""
    who = key.member_id or key.name
    seconds = utc.dt.as_unit("s").astype("int64").to_numpy()
    step = 60 * minutes
    stray = seconds % step != 0
    _find(findings, "stamps off the grid, left out", who, stray, utc)
    known = ~stray & np.isfinite(values)
    seconds, values, stamps = seconds[known], values[known], utc[known]
    if not seconds.size:
        raise InvalidInput(f"{who} has no reading on a {minutes}-minute grid; give the right --resolution")
    order = np.argsort(seconds, kind="stable")
    seconds, values, stamps = seconds[order], values[order], stamps.iloc[order]
    again = np.concatenate([[False], seconds[1:] == seconds[:-1]])
    differs = again & np.concatenate([[False], values[1:] != values[:-1]])
    _find(findings, "stamps twice with the same value", who, again & ~differs, stamps)
    _find(findings, "stamps twice with different values, the last one taken", who, differs, stamps)
    place = (seconds - seconds[0]) // step
    grid = TimeGrid(stamps.iloc[0].to_pydatetime().astimezone(UTC), int(place[-1]) + 1, minutes)
    laid_out = np.full(grid.steps, np.nan)
    laid_out[place] = values
    gaps = np.isnan(laid_out)
    if gaps.any():
        first = grid.instant(int(np.flatnonzero(gaps)[0]))
        findings.append(Finding("intervals without a reading", who, int(gaps.sum()), f"{first:%Y-%m-%d %H:%M} UTC"))
    return SeriesValues(key, grid, laid_out)


def _find(findings: list[Finding], kind: str, who: str, where: Any, stamps: "pd.Series") -> None:
    if where.any():
        findings.append(Finding(kind, who, int(where.sum()), f"{stamps[where].iloc[0]:%Y-%m-%d %H:%M} UTC"))


def _cleaned(
    series: SeriesValues, unit: str, kind: SeriesKind, options: ImportOptions, findings: list[Finding]
) -> Array:
    values = _differenced(series, kind, options, findings)
    who = series.key.member_id or series.key.name
    size = np.abs(values[np.isfinite(values)])
    usual = float(np.quantile(size, 0.999)) if size.size else 0.0
    with np.errstate(invalid="ignore"):
        glitch = np.abs(values) > GLITCH_FACTOR * max(usual, 1e-9) if size.size > 1000 else np.zeros(values.shape, bool)
        glitch |= (values < 0) & (-values > max(usual, 1e-9) * 2) & (size.size > 1000)
    if glitch.any():
        fate = "kept" if options.keep_glitches else "left out; --keep-glitches keeps them"
        example = f"{values[glitch][0]:g} {unit}"
        findings.append(Finding(f"glitches, {fate}", who, int(glitch.sum()), example))
        values = values if options.keep_glitches else np.where(glitch, np.nan, values)
    return _without_negatives(series.key, values, unit, options, findings)


def _differenced(series: SeriesValues, kind: SeriesKind, options: ImportOptions, findings: list[Finding]) -> Array:
    """Interval energies; a column that only ever rises is a register's count."""
    values = series.values
    known = values[np.isfinite(values)]
    rises = known.size > 50 and kind is SeriesKind.ENERGY and bool((np.diff(known) >= 0).all()) and np.ptp(known) > 0
    cumulative = options.cumulative if options.cumulative is not None else rises
    if not cumulative:
        return values
    who = series.key.member_id or series.key.name
    if options.cumulative is None:
        findings.append(
            Finding("a count that only rises, taken as differences", who, known.size, f"ends at {known[-1]:g}")
        )
    steps = np.append(np.diff(values), np.nan)  # the energy of an interval lies between its start and the next
    resets = steps < 0
    if resets.any():
        findings.append(Finding("the count was reset, interval left out", who, int(resets.sum()), ""))
    return np.where(resets, np.nan, steps)


def _without_negatives(
    key: SeriesKey, values: Array, unit: str, options: ImportOptions, findings: list[Finding]
) -> Array:
    low, _ = allowed_range(key.name)
    with np.errstate(invalid="ignore"):
        negative = values < low
    if not negative.any():
        return values
    who = key.member_id or key.name
    count, example = int(negative.sum()), f"{np.nanmin(values):g} {unit}"
    if options.negatives == "refuse":
        hint = (
            "it looks like a net register: import it with --series net_load_kw; else "
            if negative.mean() > NET_SHARE
            else ""
        )
        raise InvalidInput(
            f"{who} has {count} negative values of {key.name} (down to {example}); {hint}say --negatives clip or drop",
            field="negatives",
        )
    findings.append(Finding(f"negative values, {options.negatives}ped", who, count, example))
    return np.where(negative, 0.0 if options.negatives == "clip" else np.nan, values)

"""The time column: which one it is, and which UTC instants its stamps mean."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportReturnType=false

from typing import TYPE_CHECKING

from digital_twin.cli.guesses import Finding, Guess, ImportOptions
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import RESOLUTIONS_MINUTES, time_zone

if TYPE_CHECKING:
    import pandas as pd

_NAMES = ("time", "date", "stamp", "zeit", "datum", "fecha", "hora", "ora", "data", "horodate")
_SAMPLE = 2_000


def find_time_column(table: "pd.DataFrame", options: ImportOptions, guesses: list[Guess]) -> str:
    """The name of the time column.

    Raises:
        InvalidInput: there is none, or not the one named.
    """
    import pandas as pd

    if options.time_column is not None:
        if options.time_column not in table:
            raise InvalidInput(
                f"there is no column {options.time_column!r}; there are {_listed(table)}", field="time-column"
            )
        return options.time_column
    for column in table:
        if pd.api.types.is_datetime64_any_dtype(table[column]):
            guesses.append(Guess("time column", column, "it holds times"))
            return column
    for column in table:
        if any(name in column.lower() for name in _NAMES) and _parses(table[column]):
            guesses.append(Guess("time column", column, "its name and content are times"))
            return column
    raise InvalidInput(f"which column holds the times? name it with --time-column; there are {_listed(table)}")


def _listed(table: "pd.DataFrame") -> str:
    names = [str(column) for column in table.columns[:10]]
    return ", ".join(names) + (", ..." if table.shape[1] > 10 else "")


def _parses(values: "pd.Series") -> bool:
    try:
        parse_times(values.head(_SAMPLE))
    except InvalidInput:
        return False
    return True


def parse_times(values: "pd.Series") -> "pd.Series":
    """Stamps as written: aware where they carry an offset, else naive.

    Raises:
        InvalidInput: a value that is no time, or an order of day and month that cannot be told.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        return values
    text = values.astype(str).str.strip()
    iso = text.str.match(r"\d{4}-\d{2}-\d{2}")
    if iso.all():
        has_offset = text.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$", regex=True)
        if has_offset.any() and not has_offset.all():
            raise InvalidInput("some times carry an offset from UTC and others do not; mend the file")
        return _converted(text, format="ISO8601", utc=bool(has_offset.all()))
    parts = text.str.extract(r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4})[ T]?(.*)$")
    if parts[0].isna().any():
        bad = text[parts[0].isna()].iloc[0]
        raise InvalidInput(f"{bad!r} is no time that can be read; write 2026-03-01T00:00:00Z")
    first, second = parts[0].astype(int), parts[1].astype(int)
    if (first > 12).any() == (second > 12).any():
        raise InvalidInput("day and month cannot be told apart in the times; write them as 2026-03-01 00:00")
    day, month = (parts[0], parts[1]) if (first > 12).any() else (parts[1], parts[0])
    clock = parts[3].where(parts[3] != "", "00:00")
    return _converted(parts[2] + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + " " + clock, format="ISO8601")


def _converted(text: "pd.Series", **options: object) -> "pd.Series":
    import pandas as pd

    try:
        return pd.to_datetime(text, **options)  # type: ignore[call-overload]
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"a time cannot be read: {error}") from error


def to_utc(
    times: "pd.Series", members: "pd.Series | None", options: ImportOptions, findings: list[Finding]
) -> "pd.Series":
    """The stamps in UTC; the hour that autumn has twice is told apart by its order in the file.

    Raises:
        InvalidInput: naive times without --timezone, or times that the zone does not have.
    """
    import numpy as np

    if times.dt.tz is not None:
        return times.dt.tz_convert("UTC")
    if options.timezone is None:
        raise InvalidInput(
            "the times carry no zone: give the one they were written in, e.g. --timezone Europe/Vienna or "
            "--timezone UTC",
            field="timezone",
        )
    time_zone(options.timezone)
    repeated = times.groupby([times] if members is None else [members, times]).cumcount()
    is_summer_time = np.asarray(repeated == 0)
    local = times.dt.tz_localize(options.timezone, ambiguous=is_summer_time, nonexistent="NaT")
    missing = local.isna() & times.notna()
    if missing.any():
        raise InvalidInput(
            f"{times[missing].iloc[0]} does not exist in {options.timezone}: the clock was put forward; "
            "is the file in another zone, such as UTC or winter time all year (--timezone Etc/GMT-1)?",
            field="timezone",
        )
    return local.dt.tz_convert("UTC")


def resolution_of(utc: "pd.Series", options: ImportOptions, guesses: list[Guess]) -> int:
    """Minutes between stamps.

    Raises:
        InvalidInput: no usual interval.
    """
    if options.resolution_minutes is not None:
        return options.resolution_minutes
    stamps = utc.drop_duplicates().sort_values()
    steps = stamps.diff().dropna().dt.total_seconds() / 60
    minutes = float(steps.mode().iloc[0]) if len(steps) else 0.0
    share = float((steps == minutes).mean()) if len(steps) else 0.0
    if minutes not in RESOLUTIONS_MINUTES or share < 0.9:
        raise InvalidInput(
            f"the interval cannot be told: {share:.0%} of the stamps are {minutes:g} minutes apart; "
            "give it with --resolution MINUTES",
            field="resolution",
        )
    guesses.append(Guess("interval", f"{minutes:g} minutes", f"{share:.1%} of the stamps are that far apart"))
    return int(minutes)


def label_of(column: str, times: "pd.Series", minutes: int, options: ImportOptions, guesses: list[Guess]) -> str:
    """Whether a stamp names the start or the end of its interval.

    Raises:
        InvalidInput: it cannot be told.
    """
    if options.label is not None:
        return options.label
    lower = column.lower()
    for word, label in (("start", "start"), ("begin", "start"), ("from", "start"), ("end", "end"), ("until", "end")):
        if word in lower:
            guesses.append(Guess("label", label, f"the column is called {column}"))
            return label
    first, last = times.min(), times.max()
    first_minute, last_minute = first.hour * 60 + first.minute, last.hour * 60 + last.minute
    if first_minute == 0 and last_minute == 1440 - minutes:
        guesses.append(Guess("label", "start", "the file runs from 00:00 to the last interval of a day"))
        return "start"
    if first_minute == minutes and last_minute == 0:
        guesses.append(Guess("label", "end", "the file runs from the first interval of a day to 00:00"))
        return "end"
    raise InvalidInput(
        "do the times name the start or the end of each interval? say --label start or --label end", field="label"
    )

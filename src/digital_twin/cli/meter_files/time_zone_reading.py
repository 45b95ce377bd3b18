"""Local stamps as UTC: whose clock wrote them, and what it did when it was put back."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportReturnType=false

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from digital_twin.cli.meter_files.guesses import Notes
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.meter_files.time_column import Stamps
from digital_twin.cli.meter_files.words import tokens_of
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import time_zone

if TYPE_CHECKING:
    import pandas as pd

_ASK = "give the one they were written in, e.g. --timezone Europe/Vienna or --timezone UTC"


def to_utc(stamps: Stamps, groups: "pd.Series | None", options: ImportOptions, notes: Notes) -> "pd.Series":
    """The stamps in UTC; the hour that autumn has twice is told apart by its order in each group of rows.

    Raises:
        InvalidInput: a zone that cannot be told, or times that the zone does not have or has twice.
    """
    times = stamps.times
    if times.dt.tz is not None:
        return times.dt.tz_convert("UTC")
    zone = options.timezone
    if zone is None:
        zone = _guessed_zone(stamps, options, notes)
    time_zone(zone)
    known = times.dt.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    missing = times.notna() & known.notna() & (known.dt.tz_localize(None) != times)
    if missing.any():
        raise InvalidInput(
            f"{times[missing].iloc[0]} does not exist in {zone}: the clock was put forward; is the file in UTC "
            f"(--timezone UTC), or in winter time all year ({_winter_time(zone)})?",
            field="timezone",
        )
    twice = known.isna() & times.notna()
    if not twice.any():
        return known.dt.tz_convert("UTC")
    is_summer_time = np.ones(len(times), dtype=bool)
    is_summer_time[twice.to_numpy()] = _is_first_pass(times, twice, groups, zone, options, notes)
    return times.dt.tz_localize(zone, ambiguous=is_summer_time, nonexistent="raise").dt.tz_convert("UTC")


def _guessed_zone(stamps: Stamps, options: ImportOptions, notes: Notes) -> str:
    tokens = [token for column in stamps.columns for token in tokens_of(column)]
    if any(token in ("utc", "gmt", "z") for token in tokens):
        notes.guess("time zone", "UTC", f"the column is called {stamps.columns[0]}")
        return "UTC"
    if options.community_zone in (None, "UTC"):
        raise InvalidInput(f"the times carry no zone: {_ASK}", field="timezone")
    notes.guess("time zone", options.community_zone, "it is the community's; --timezone names another")
    return options.community_zone


def _winter_time(zone: str) -> str:
    """The flag for a clock that shows the zone's winter time all year."""
    offset = datetime(2024, 1, 1, tzinfo=time_zone(zone)).utcoffset()
    hours = 0.0 if offset is None else offset.total_seconds() / 3600
    return f"--timezone Etc/GMT{-hours:+.0f}" if hours and hours.is_integer() else "--timezone UTC"


def _is_first_pass(
    times: "pd.Series", twice: "pd.Series", groups: "pd.Series | None", zone: str, options: ImportOptions, notes: Notes
) -> np.ndarray:
    """For each stamp in a repeated hour: whether it belongs to the first pass, which is summer time."""
    if options.repeated_hour is not None:
        single = np.full(int(twice.sum()), options.repeated_hour == "first")
    else:
        single = np.ones(int(twice.sum()), dtype=bool)
    keys = [times[twice]] if groups is None else [groups[twice], times[twice]]
    doubtful = times[twice].groupby(keys)
    size, place = doubtful.transform("size").to_numpy(), doubtful.cumcount().to_numpy()
    if (size > 2).any():
        raise InvalidInput(
            f"{times[twice][size > 2].iloc[0]} stands more than twice in the file; clear the doubles, or give the "
            "times in UTC",
            field="timezone",
        )
    once = int((size == 1).sum())
    if once and options.repeated_hour is None:
        if (size == 1).all():
            raise InvalidInput(
                f"the clock of {zone} shows {times[twice].iloc[0]} twice and the file has it once: is it in UTC "
                f"(--timezone UTC), or in winter time all year ({_winter_time(zone)})? or say --repeated-hour first "
                "or second",
                field="repeated-hour",
            )
        notes.find("stamps of the repeated hour only once, taken as the first", zone, once, f"{times[twice].iloc[0]}")
    first = np.where(_runs_backwards(times, groups)[twice.to_numpy()], place == 1, place == 0)
    return np.where(size == 1, single, first)


def _runs_backwards(times: "pd.Series", groups: "pd.Series | None") -> np.ndarray:
    """For each row, whether its group is written from the newest to the oldest."""
    if groups is None:
        return np.full(len(times), times.iloc[0] > times.iloc[-1])
    by_group = times.groupby(groups)
    return by_group.transform("first").to_numpy() > by_group.transform("last").to_numpy()

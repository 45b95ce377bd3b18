"""Time as the twin knows it: aware UTC instants and grids of equal half-open intervals."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput

RESOLUTIONS_MINUTES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)
"""Interval lengths a series may have: those that divide the hour."""

MAX_STEPS = 1_054_080
"""Two leap years of minutes: the longest grid. A year and a month of history with the forecast after it fits."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

LAST_COUNTED_YEAR = 2554
"""Of devices whose clock is wrong: 32-bit counters of seconds run over in 2106, 64-bit ones of nanoseconds in 2554."""

_DAY_SECONDS = 86_400


def any_utc(instant: datetime, field: str = "time") -> datetime:
    """The same instant in UTC, in any year that a counter reaches. Raises InvalidInput when the time has no zone."""
    if instant.tzinfo is None:
        raise InvalidInput(f"{field} must carry a time zone, got {instant.isoformat()}; write ...Z", field=field)
    try:
        utc = instant.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"{field} must lie in 1970..2100", field=field) from error
    if utc.year > LAST_COUNTED_YEAR:
        raise InvalidInput(f"{field} must lie in 1970..2100, got {utc.isoformat()}", field=field)
    return utc


def as_utc(instant: datetime, field: str = "time") -> datetime:
    """The same instant in UTC.

    Raises:
        InvalidInput: the time has no zone, or lies outside 1970..2100.
    """
    utc = any_utc(instant, field)
    if not EARLIEST <= utc < LATEST:
        raise InvalidInput(f"{field} must lie in 1970..2100, got {utc.isoformat()}", field=field)
    return utc


def time_zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name.

    Raises:
        InvalidInput: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"timezone must be an IANA name such as Europe/Vienna, got {name!r}", field="timezone"
        ) from error


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """Equal half-open intervals [start, end) in UTC, labelled by their start.

    Raises:
        InvalidInput: the start is naive or not on a multiple of the step, the size is out of range, or the last
            interval starts after 2099.
    """

    start: datetime
    steps: int
    step_minutes: int

    def __post_init__(self) -> None:
        if self.step_minutes not in RESOLUTIONS_MINUTES:
            allowed = ", ".join(map(str, RESOLUTIONS_MINUTES))
            raise InvalidInput(
                f"resolution_minutes must be one of {allowed}, got {self.step_minutes}", field="resolution_minutes"
            )
        if not 1 <= self.steps <= MAX_STEPS:
            raise InvalidInput(f"a time grid must have 1 to {MAX_STEPS} steps, got {self.steps}", field="horizon_hours")
        object.__setattr__(self, "start", as_utc(self.start, "start"))
        if self.start.timestamp() % (60 * self.step_minutes):
            nearest = floor_to_step(self.start, self.step_minutes)
            raise InvalidInput(
                f"start must be a multiple of {self.step_minutes} minutes, got {self.start.isoformat()}; "
                f"the interval that holds it starts at {nearest.isoformat()}",
                field="start",
            )
        if self.instant(self.steps - 1) >= LATEST:
            raise InvalidInput(
                f"every interval must start before 2100, got {self.end.isoformat()} as the end", field="horizon_hours"
            )

    @classmethod
    def spanning(cls, start: datetime, end: datetime, step_minutes: int) -> Self:
        """The grid from `start` to `end`, which must be a whole number of steps apart.

        Raises:
            InvalidInput: `end` is not after `start`, or not a whole number of steps away.
        """
        start, end = as_utc(start, "start"), as_utc(end, "end")
        steps, rest = divmod((end - start).total_seconds(), 60 * step_minutes)
        if steps < 1 or rest:
            raise InvalidInput(
                f"end must be a positive whole number of {step_minutes}-minute steps after start, "
                f"got {start.isoformat()} to {end.isoformat()}",
                field="end",
            )
        return cls(start, int(steps), step_minutes)

    @property
    def step(self) -> timedelta:
        return timedelta(minutes=self.step_minutes)

    @property
    def step_hours(self) -> float:
        """The only bridge between kW and kWh."""
        return self.step_minutes / 60

    @property
    def end(self) -> datetime:
        return self.start + self.steps * self.step

    @property
    def hours(self) -> float:
        return self.steps * self.step_hours

    @property
    def starts(self) -> NDArray[np.datetime64]:
        """Starts of the intervals as UTC `datetime64[s]`."""  # (T,)
        first = np.datetime64(int(self.start.timestamp()), "s")
        return first + np.arange(self.steps) * np.timedelta64(60 * self.step_minutes, "s")

    def instant(self, index: int) -> datetime:
        """The start of interval `index`; `index == steps` gives the end."""
        return self.start + index * self.step


@lru_cache(maxsize=4096)
def time_grid(start: datetime, steps: int, step_minutes: int) -> TimeGrid:
    """The grid, checked once: readings of many series begin and end together. Raises InvalidInput."""
    return TimeGrid(start, steps, step_minutes)


def floor_to_step(instant: datetime, step_minutes: int) -> datetime:
    """The start of the interval that holds the instant."""
    seconds = int(as_utc(instant).timestamp())
    return datetime.fromtimestamp(seconds - seconds % (60 * step_minutes), UTC)


def local_date(instant: datetime, zone: str) -> date:
    """What the calendar on the wall shows."""
    return instant.astimezone(time_zone(zone)).date()


def local_midnight(day: date, zone: str) -> datetime:
    """When the local day begins; where the clock leaves midnight out, the first instant after it."""
    return datetime.combine(day, time(), time_zone(zone)).astimezone(UTC)


@dataclass(frozen=True, slots=True, eq=False)
class LocalClock:
    """What the clock and the calendar on a community's wall show at the start of each interval."""

    hour: NDArray[np.float64]  # (T,) 0 <= hour < 24
    weekday: NDArray[np.int64]  # (T,) Monday 0 .. Sunday 6
    day: NDArray[np.int64]  # (T,) local calendar day, days since 1970-01-01
    day_of_year: NDArray[np.int64]  # (T,) 1..366


def local_clock(grid: TimeGrid, zone: str) -> LocalClock:
    """The local clock of each interval; a day has 23 hours in spring and 25 in autumn."""
    utc_seconds = grid.starts.astype(np.int64)
    local_seconds = utc_seconds + _utc_offsets(utc_seconds, zone)
    day = local_seconds // _DAY_SECONDS
    dates = day.astype("datetime64[D]")
    return LocalClock(
        hour=(local_seconds - day * _DAY_SECONDS) / 3600.0,
        weekday=(day + 3) % 7,
        day=day,
        day_of_year=(dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1,
    )


def _utc_offsets(utc_seconds: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """Seconds to add to UTC; asks the zone once per day, and once per instant on days when the clock changes."""
    time_zone(zone)
    utc_days, inverse = np.unique(utc_seconds // _DAY_SECONDS, return_inverse=True)
    at_start = np.array([_utc_offset(int(day) * _DAY_SECONDS, zone) for day in utc_days], dtype=np.int64)
    at_end = np.array([_utc_offset((int(day) + 1) * _DAY_SECONDS, zone) for day in utc_days], dtype=np.int64)
    offsets = at_start[inverse]
    changing = np.flatnonzero((at_start != at_end)[inverse])
    offsets[changing] = [_utc_offset(int(utc_seconds[index]), zone) for index in changing]
    return offsets


@lru_cache(maxsize=65_536)
def _utc_offset(utc_second: int, zone: str) -> int:
    offset = datetime.fromtimestamp(utc_second, ZoneInfo(zone)).utcoffset()
    return int(offset.total_seconds()) if offset else 0

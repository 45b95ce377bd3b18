"""Readings: what meters and weather stations said about an interval, and when it became known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.identifiers import check_identifier, check_series_name
from digital_twin.domain.quality import Flags, Quality
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array, SeriesKind, canonical_unit, to_canonical

COMMUNITY_SERIES = (
    "load_kw",
    "pv_kw",
    "net_load_kw",
    "storage_soc_kwh",
    "import_price_per_kwh",
    "export_price_per_kwh",
    "emission_factor_kg_per_kwh",
    "temperature_c",
    "ghi_wm2",
    "dni_wm2",
    "dhi_wm2",
    "wind_speed_ms",
)
"""Names a community-level series may have."""

SUMMED_SERIES = ("load_kw", "pv_kw", "net_load_kw", "storage_soc_kwh")
"""Series of members that add up to one of the community."""

TEMPERATURE = "temperature_c"
"""Outdoors, of the community: what demand answers to."""

PLANNED_SERIES = tuple(name for name in COMMUNITY_SERIES if name not in SUMMED_SERIES)
"""Prices, emissions and weather are known ahead; everything else is measured."""

MAX_FUTURE = timedelta(days=370)
"""Prices and weather forecasts lie ahead; nothing lies further."""

CLOCK_TOLERANCE = timedelta(minutes=2)
"""A measurement may be this far ahead of our clock, since no two clocks agree; further ahead its device's is wrong."""

EARLIEST_READING = datetime(2000, 1, 1, tzinfo=UTC)
"""Nothing was read before: a device that has lost its time counts from 1970 or 1980."""

ASSUMED_DELAY = timedelta(hours=1)
"""Imported history counts as known this long after its interval ended."""

_RANGES = {
    "_soc_kwh": (0.0, 1e7),
    "_kg_per_kwh": (0.0, 10.0),
    "_per_kwh": (-1e3, 1e3),
    "_kwh": (0.0, 1e7),
    "_kw": (0.0, 1e6),
    "_wm2": (0.0, 2e3),
    "_ms": (0.0, 120.0),
    "_c": (-90.0, 60.0),
}


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """What a series is about; without member and asset it belongs to the community as a whole."""

    name: str
    member_id: str | None = None
    asset_id: str | None = None

    def __post_init__(self) -> None:
        check_series_name(self.name)
        canonical_unit(self.name)
        if self.member_id is not None:
            check_identifier(self.member_id, "member_id")
        if self.asset_id is not None:
            check_identifier(self.asset_id, "asset_id")
        if self.member_id is None and self.asset_id is None and self.name not in COMMUNITY_SERIES:
            raise InvalidInput(
                f"a community-level series must be one of {', '.join(COMMUNITY_SERIES)}, got {self.name!r}; "
                "give a member_id or an asset_id for others",
                field="name",
            )


@lru_cache(maxsize=20_000)
def series_key(name: str, member_id: str | None = None, asset_id: str | None = None) -> SeriesKey:
    """The key, checked once: bodies name the same series over and over. Raises InvalidInput."""
    return SeriesKey(name, member_id, asset_id)


@dataclass(frozen=True, slots=True)
class Series:
    """A stream of readings at one resolution, in the unit its name ends in."""

    key: SeriesKey
    resolution_minutes: int

    @property
    def unit(self) -> str:
        return canonical_unit(self.key.name)[0]

    @property
    def kind(self) -> SeriesKind:
        return canonical_unit(self.key.name)[1]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesValues:
    """Readings of one series on a grid in its canonical unit; NaN where there is none."""

    key: SeriesKey
    grid: TimeGrid
    values: Array  # (T,)
    flags: Flags | None = None  # (T,); None where all are measured

    def __post_init__(self) -> None:
        if self.values.shape != (self.grid.steps,):
            raise InvalidInput(f"{self.key.name} must have {self.grid.steps} values, got {self.values.size}")
        if self.flags is not None and self.flags.shape != self.values.shape:
            raise InvalidInput(f"{self.key.name} must have a quality for each of its {self.values.size} values")

    @property
    def believed(self) -> "SeriesValues":
        """The same without the values that their source suspects."""
        if self.flags is None or not (self.flags == Quality.SUSPECT).any():
            return self
        return replace(self, values=np.where(self.flags == Quality.SUSPECT, np.nan, self.values))

    @classmethod
    def from_unit(cls, key: SeriesKey, grid: TimeGrid, values: Array, unit: str, kind: SeriesKind) -> "SeriesValues":
        """Readings given in any known unit and kind.

        Raises:
            InvalidInput: the unit does not fit the name.
        """
        return cls(key, grid, to_canonical(values, key.name, unit, kind, grid.step_hours))


@dataclass(frozen=True, slots=True)
class Rejection:
    """A reading that was not stored, and why."""

    key: SeriesKey
    start: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Exactly what became of a batch: received = stored + duplicate + corrected + superseded."""

    received: int
    stored: int
    duplicate: int
    corrected: int
    superseded: int
    received_at: datetime
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """What is stored of a series."""

    series: Series
    first_day: datetime
    last_day: datetime


@cache
def allowed_range(series_name: str) -> tuple[float, float]:
    """Lowest and highest believable value of a series."""
    if series_name.startswith("net_"):
        return -1e6, 1e6
    return next(limits for suffix, limits in _RANGES.items() if series_name.endswith(suffix))


def are_plain(readings: Sequence[SeriesValues], now: datetime) -> bool:
    """Whether `check_readings` refuses nothing of any of these, told by one look at all of them.

    It may say no where only a close look at each would tell.
    """
    values: dict[str, list[Array]] = {}
    for one in readings:
        values.setdefault(one.key.name, []).append(one.values)
    grids = {id(one.grid): one.grid for one in readings}.values()
    if any(grid.start < EARLIEST_READING or grid.end > now + CLOCK_TOLERANCE for grid in grids):
        return False
    for name, told in values.items():
        low, high = allowed_range(name)
        together = np.concatenate(told)
        if np.fmin.reduce(together) < low or np.fmax.reduce(together) > high:
            return False
    return True


def check_readings(readings: SeriesValues, now: datetime) -> tuple[SeriesValues, list[Rejection]]:
    """The believable readings, and those that are not with the reason of each.

    Measurements must be over, but for `CLOCK_TOLERANCE`; only `PLANNED_SERIES` may lie ahead.
    """
    values, (low, high) = readings.values, allowed_range(readings.key.name)
    first, end = _believable_steps(readings, now)
    is_in_time = first <= 0 and end >= values.size
    if is_in_time and np.fmin.reduce(values) >= low and np.fmax.reduce(values) <= high:
        return readings, []
    reasons = _reasons(readings, first, end)
    if not reasons:
        return readings, []
    kept = values.copy()
    kept[list(reasons)] = np.nan
    rejections = [
        Rejection(readings.key, readings.grid.instant(index), reason) for index, reason in sorted(reasons.items())
    ]
    return replace(readings, values=kept), rejections


def _believable_steps(readings: SeriesValues, now: datetime) -> tuple[int, int]:
    """From which interval of the grid, and before which, a reading can be."""
    grid, name = readings.grid, readings.key.name
    first = -((grid.start - EARLIEST_READING) // grid.step)
    if name in PLANNED_SERIES:
        return first, -((grid.start - now - MAX_FUTURE) // grid.step)
    ended = (now + CLOCK_TOLERANCE - grid.start) // grid.step
    return first, ended + (canonical_unit(name)[1] is SeriesKind.INSTANT)


def _reasons(readings: SeriesValues, first: int, end: int) -> Mapping[int, str]:
    """Why each reading that cannot be is refused, by its place."""
    name, values, place = readings.key.name, readings.values, np.arange(readings.values.size)
    low, high = allowed_range(name)
    late = (
        f"the interval starts more than {MAX_FUTURE.days} days ahead"
        if name in PLANNED_SERIES
        else "the measurement is not over yet; look at the device's clock, which may be fast"
    )
    with np.errstate(invalid="ignore"):
        refused = (
            ((values < low) | (values > high), f"{name} must lie in {low:g}..{high:g}"),
            (place >= end, late),
            (place < first, f"nothing was read before {EARLIEST_READING.year}; look at the device's clock"),
        )
    reasons: dict[int, str] = {}
    for unbelievable, reason in refused:
        for index in np.flatnonzero(unbelievable & ~np.isnan(values)):
            reasons.setdefault(int(index), reason)
    return reasons

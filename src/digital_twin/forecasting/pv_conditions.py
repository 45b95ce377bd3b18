"""What the weather makes of each interval of generation: all that its error may depend on."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Site
from digital_twin.forecasting.local_days import Indices
from digital_twin.forecasting.orientation import Roofs
from digital_twin.forecasting.pv_faults import Flags, solar_days
from digital_twin.forecasting.solar import DEFAULT_TEMPERATURE_C, Sky, Weather

HIGHEST_CLEARNESS = 1.5
DIMMEST_WM2 = 20.0
"""Less than that under a clear sky is twilight, in which shares mean little."""
YEAR_SECONDS = 365.2425 * 86_400
BRIEF_COLUMNS = 3
"""So many of the columns tell the most: what is expected, how clear it is, and how clear the day is."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """Of T intervals; clearness is irradiance as a share of that under a clear sky, 0 at night."""

    expected_kw: Array  # (T,) by physics, NaN where the weather is not known
    bright_kw: Array  # (T,) under a clear sky, or what is expected where that is more
    clearness: Array  # (T,)
    of_day: Array  # (T,) clearness of the whole day
    before: Array  # (T,) clearness an hour before
    after: Array  # (T,) and an hour later
    place: Array  # (T, 5) of the sun: sine of height, east; temperature; season

    @property
    def is_lit(self) -> Flags:
        return self.bright_kw > 0

    def neighbours(self) -> Array:
        """What differs from the hours around and from the day, in kW: weather is blurred in space and time."""
        # (T, 3)
        around = np.stack([self.before, self.after, self.of_day], axis=1)
        return self.bright_kw[:, None] * (around - self.clearness[:, None])

    def columns(self, expected_share: Array) -> Array:
        """Features of a forest; the first ones tell the most."""  # (T, P)
        first = (expected_share, self.clearness, self.of_day, self.before, self.after)
        return np.column_stack([*first, self.place])

    def without_weather(self) -> Array:
        """Sun and season alone."""  # (T, 4)
        return np.delete(self.place, 2, axis=1)

    def at(self, chosen: Indices | slice) -> "Conditions":
        """Of some of the intervals."""
        return Conditions(*(getattr(self, name)[chosen] for name in self.__slots__))


def conditions_of(site: Site, grid: TimeGrid, weather: Weather, roofs: Roofs) -> Conditions:
    """Of every interval of a grid with weather."""
    sky = Sky(site, [grid], weather)
    clear_sky = Sky(site, [grid], {}, sun=sky.sun)
    expected_kw = roofs.output_kw(sky)
    clear_wm2 = sky.clear_ghi_wm2
    is_lit = clear_wm2 > 0
    share = np.clip(np.maximum(weather["ghi_wm2"], 0.0) / np.maximum(clear_wm2, DIMMEST_WM2), 0.0, HIGHEST_CLEARNESS)
    clearness = np.where(is_lit, share, 0.0)
    season = 2 * np.pi * grid.starts.astype(np.float64) / YEAR_SECONDS
    temperature_c = weather.get("temperature_c", np.full(grid.steps, DEFAULT_TEMPERATURE_C))
    known_c = np.where(np.isfinite(temperature_c), temperature_c, DEFAULT_TEMPERATURE_C)
    return Conditions(
        expected_kw,
        np.fmax(roofs.output_kw(clear_sky), expected_kw),
        clearness,
        _of_day(solar_days(site, grid), np.where(is_lit, weather["ghi_wm2"], np.nan), clear_wm2),
        *_an_hour_away(clearness, 60 // grid.step_minutes),
        np.column_stack([sky.mean(sky.sun.up), sky.mean(sky.sun.east), known_c, np.sin(season), np.cos(season)]),
    )


def _of_day(days: Indices, ghi_wm2: Array, clear_wm2: Array) -> Array:
    number = days - days[0]
    known = np.isfinite(ghi_wm2)
    lit = np.bincount(number, weights=np.where(known, ghi_wm2, 0.0))
    clear = np.bincount(number, weights=np.where(known, clear_wm2, 0.0))
    return np.divide(lit, clear, out=np.zeros_like(lit), where=clear > 0)[number]


def _an_hour_away(clearness: Array, steps: int) -> tuple[Array, Array]:
    """Before and after; an interval itself where the grid ends or the weather is not known."""
    steps = min(steps, clearness.size)
    before = np.concatenate([clearness[:steps], clearness[: clearness.size - steps]])
    after = np.concatenate([clearness[steps:], clearness[clearness.size - steps :]])
    return np.where(np.isfinite(before), before, clearness), np.where(np.isfinite(after), after, clearness)

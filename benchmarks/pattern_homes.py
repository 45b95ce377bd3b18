"""Synthetic homes of which it is known what they have, as patterns see them: what detectors learn from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.pattern_days import Locality, pattern_days
from digital_twin.forecasting.pattern_features import features_of
from digital_twin.simulation.heat_pumps import Heating
from digital_twin.simulation.homes import Habits
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import Recipe, Shares, SyntheticCommunity

DAYS = 42
PLACES = (
    Place(48.2, 16.4, "Europe/Vienna"),
    Place(47.4, 8.5, "Europe/Zurich"),
    Place(53.5, 10.0, "Europe/Berlin"),
    Place(45.1, 7.7, "Europe/Rome"),
)
_LIVELY = Habits(liveliness=1.85, liveliness_spread=0.97, standby_kw=0.066, standby_spread=1.4, boiler=0.3)
_STORAGE_HEATERS = Habits(liveliness=1.4, liveliness_spread=0.8, standby_spread=1.0, boiler=0.9, night_heating=1.0)
_DRAUGHTY = Heating(locked=0.39, loss=1.41, loss_spread=0.38)
POPULATIONS = (
    (Shares(pv=0.4, battery=0.3, vehicle=0.25, heat_pump=0.5), Habits(), Heating()),
    (Shares(pv=0.4, battery=0.3, vehicle=0.25, heat_pump=0.5), _LIVELY, _DRAUGHTY),
    (Shares(pv=0.4, battery=0.3, vehicle=0.25, heat_pump=0.0), _STORAGE_HEATERS, Heating()),
)
"""With and without heat pumps, and heated by electricity without them."""

_KNOWS_TEMPERATURE, _METERS_NET = 0.7, 0.7


@dataclass(frozen=True, slots=True)
class KnownHome:
    """What a home's meter shows, what the home uses, and what it has."""

    features: dict[str, float]
    used: dict[str, float]
    has: dict[str, bool]
    month: int
    step_minutes: int


def known_homes(seed: int, homes: int) -> Iterator[KnownHome]:
    """So many of each population and month, each at 15 and at 60 minutes; some meters tell the net, some the load."""
    generator = np.random.default_rng(seed)
    for month in range(1, 13):
        for number, (shares, habits, heating) in enumerate(POPULATIONS):
            place = PLACES[(month + number) % len(PLACES)]
            start = datetime(2025, month, 1, tzinfo=UTC) - timedelta(hours=2)
            grid = TimeGrid(start, DAYS * 96, 15)
            recipe = Recipe(homes, place, grid, 1_000 * seed + 10 * month + number, shares, habits, heating)
            community = SyntheticCommunity(recipe)
            for home in community.series():
                is_net = bool(generator.uniform() < _METERS_NET)
                warmth = community.sky.temperature_c if generator.uniform() < _KNOWS_TEMPERATURE else None
                has = {
                    "heat_pump": home.home.heating is not None,
                    "ev": home.home.vehicle is not None,
                    "pv": is_net and home.home.roof is not None,
                }
                for step_minutes in (15, 60):
                    used = _features(home.load_kw, grid, place, step_minutes, warmth)
                    seen = _features(home.net_load_kw, grid, place, step_minutes, warmth) if is_net else used
                    yield KnownHome(seen, used, has, month, step_minutes)


def _features(
    power_kw: Array, grid: TimeGrid, place: Place, step_minutes: int, temperature_c: Array | None
) -> dict[str, float]:
    whole = step_minutes // grid.step_minutes
    coarser = TimeGrid(grid.start, grid.steps // whole, step_minutes)
    warmth = None if temperature_c is None else temperature_c.reshape(-1, whole).mean(axis=1)
    return features_of(
        pattern_days(power_kw.reshape(-1, whole).mean(axis=1), coarser, Locality(place.timezone), warmth)
    )

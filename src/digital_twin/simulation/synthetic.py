"""Synthetic communities: homes whose peaks do not coincide, and roofs of their own under one moving sky.

Compared with 26 metered Swiss homes that use as much and have neither PV nor electric heating (0.2 to 0.8 kW in the
mean; seven weeks of autumn; ResidentialEnergyConsumption 1.1.0), medians of quarter-hours:

================================  =========  =====
a home's ...                      synthetic  Swiss
================================  =========  =====
peak, kW                          5.4        6.2
mean / peak                       0.07       0.09
deviation / mean                  1.5        1.3
correlation after 15 minutes      0.70       0.54
correlation after a day           0.21       0.32
sum of peaks / peak of the sum    3.6        3.7
================================  =========  =====
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.assets import Photovoltaics
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.simulation.homes import calendar_of, home_load_kw
from digital_twin.simulation.place import Place
from digital_twin.simulation.sky import Sky, moving_sky, roof_kw

_CHUNK_HOMES = 50
_ROOF_SPREAD = 0.35
_TILT_DEGREES, _TILT_SPREAD_DEGREES = 32.0, 9.0
_AZIMUTH_SPREAD_DEGREES = 55.0
_SHARE_WITH_ROOF = 0.6


@dataclass(frozen=True, slots=True)
class Roof:
    """The PV of a home, and where it lies between the first home that a cloud reaches (0) and the last (1)."""

    photovoltaics: Photovoltaics
    passage: float


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticHomes:
    """Some of the homes, in order."""

    first: int
    load_kw: Array  # (n, T)
    pv_kw: Array  # (n, T)


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticCommunity:
    """Loads and generation of every home under one sky."""

    grid: TimeGrid
    load_kw: Array  # (N, T)
    pv_kw: Array  # (N, T)
    roofs: tuple[Roof | None, ...]
    sky: Sky


class Neighbourhood:
    """A community before its series are made, so that only some of its homes need to be in memory.

    The first homes are the same however many there are; only the sizes of their roofs follow the total.
    """

    def __init__(
        self, generator: np.random.Generator, grid: TimeGrid, place: Place, *, homes: int, pv_capacity_kw: float
    ) -> None:
        """Raises InvalidInput for no homes, or a capacity that is no number >= 0."""
        if homes < 1:
            raise InvalidInput(f"homes must be at least 1, got {homes}", field="homes")
        if not 0 <= pv_capacity_kw < np.inf:
            raise InvalidInput(f"pv_capacity_kw must be a number >= 0, got {pv_capacity_kw}", field="pv_capacity_kw")
        above, *self._generators = generator.spawn(homes + 1)
        self.grid = grid
        self.sky = moving_sky(above, grid, place)
        self.roofs = _roofs(self._generators, pv_capacity_kw, place)
        self._calendar = calendar_of(grid, place.timezone, place.latitude, self.sky.temperature_c)
        self._made = False

    def homes(self, chunk: int = _CHUNK_HOMES) -> Iterator[SyntheticHomes]:
        """The homes' series, `chunk` at a time; may be asked for once, because a home is drawn from its generator."""
        assert not self._made, "the homes of a neighbourhood are drawn once"
        self._made = True
        for first in range(0, len(self.roofs), chunk):
            roofs = self.roofs[first : first + chunk]
            load_kw = np.stack([home_load_kw(one, self._calendar) for one in self._generators[first : first + chunk]])
            pv_kw = np.stack([self._generation(roof) for roof in roofs])
            yield SyntheticHomes(first, load_kw, pv_kw)

    def _generation(self, roof: Roof | None) -> Array:
        if roof is None:
            return np.zeros(self.grid.steps)
        return roof_kw(self.sky, roof.photovoltaics, roof.passage)


def synthetic_community(
    generator: np.random.Generator, grid: TimeGrid, place: Place, *, homes: int, pv_capacity_kw: float
) -> SyntheticCommunity:
    """A community of `homes` under one sky, all of it in memory.

    Raises:
        InvalidInput: no homes, or a capacity that is no number >= 0.
    """
    neighbourhood = Neighbourhood(generator, grid, place, homes=homes, pv_capacity_kw=pv_capacity_kw)
    load_kw, pv_kw = np.empty((homes, grid.steps)), np.empty((homes, grid.steps))
    for some in neighbourhood.homes():
        rows = slice(some.first, some.first + some.load_kw.shape[0])
        load_kw[rows], pv_kw[rows] = some.load_kw, some.pv_kw
    return SyntheticCommunity(grid, load_kw, pv_kw, neighbourhood.roofs, neighbourhood.sky)


def _roofs(generators: list[np.random.Generator], capacity_kw: float, place: Place) -> tuple[Roof | None, ...]:
    """Roofs of their own size, tilt and azimuth on some of the homes, together of the capacity."""
    towards = 180.0 if place.latitude >= 0 else 0.0
    drawn = [_one_roof(generator, towards) for generator in generators]
    chosen = [size if is_there else 0.0 for size, is_there, *_ in drawn]
    if not any(chosen):
        chosen = [size for size, *_ in drawn]
    per_size = capacity_kw / sum(chosen)
    return tuple(
        Roof(Photovoltaics(per_size * size, tilt, azimuth), passage) if per_size * size > 0 else None
        for size, (_, _, tilt, azimuth, passage) in zip(chosen, drawn, strict=True)
    )


def _one_roof(generator: np.random.Generator, towards: float) -> tuple[float, bool, float, float, float]:
    size = generator.lognormal(0.0, _ROOF_SPREAD)
    is_there = bool(generator.uniform() < _SHARE_WITH_ROOF)
    tilt = float(np.clip(generator.normal(_TILT_DEGREES, _TILT_SPREAD_DEGREES), 3.0, 65.0))
    azimuth = (towards + np.clip(generator.normal(0.0, _AZIMUTH_SPREAD_DEGREES), -120.0, 120.0)) % 360
    return size, is_there, tilt, float(azimuth), generator.uniform()

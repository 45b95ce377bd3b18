"""From what is known of a community to the year that is simulated: gaps become synthetic homes and skies."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.simulation.base_year import BaseYear, filled_like, heating_degrees
from digital_twin.simulation.place import Place

MOST_HOMES = 100
"""So many synthetic homes stand for any larger number: their sum is as smooth, per home, to within a tenth."""

_SHARE_WITH_PV, _MANY = 0.6, 10
"""Of synthetic homes; where they are few, all have PV, so that chance leaves nobody to generate."""

_SEED = 20
"""Of the synthetic homes: the same in every simulation, so that two of them differ in what was asked."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownYear:
    """What readings tell of a base year; NaN where they tell nothing.

    Profiles are the members with readings, or else synthetic homes; a single column stands for all behind one meter.
    """

    grid: TimeGrid
    place: Place
    num_prosumers: int
    pv_capacity_kw: float
    profiles: int  # how many are simulated
    annual_kwh_per_home: float
    load_kw: NDArray[np.float32] | None  # (T, N); None: nothing is known
    pv_kw: NDArray[np.float32] | None  # (T, N); a column without any value: the home has no PV
    net_load_kw: Array | None  # (T,) of a community with net meters alone
    temperature_c: Array | None  # (T,)
    import_price_per_kwh: Array  # (T,)
    export_price_per_kwh: Array  # (T,)
    emission_factor_kg_per_kwh: Array  # (T,)
    coefficients: Array | None = None  # (N,)


@lru_cache(maxsize=2)
def synthetic_year(grid: TimeGrid, place: Place, homes: int) -> tuple[NDArray[np.float32], NDArray[np.float32], Array]:
    """Load of so many homes, their generation per kW of PV of all, and the temperature."""  # (T, N), (T, N), (T,)
    from digital_twin.simulation.synthetic import Recipe, Shares, SyntheticCommunity

    shares = Shares(pv=_SHARE_WITH_PV if homes >= _MANY else 1.0, battery=0.0, vehicle=0.0, heat_pump=0.0)
    made = SyntheticCommunity(Recipe(homes, place, grid, _SEED, shares))
    load, pv = np.empty((grid.steps, homes), np.float32), np.empty((grid.steps, homes), np.float32)
    for column, home in enumerate(made.series()):
        load[:, column], pv[:, column] = home.load_kw, home.pv_kw / made.pv_capacity_kw
    return load, pv, made.sky.temperature_c


def base_year(known: KnownYear) -> BaseYear:
    """The year with its gaps filled."""
    homes = min(known.num_prosumers if known.profiles == 1 else known.profiles, MOST_HOMES)
    made_kw, made_pv, temperature_c = synthetic_year(known.grid, known.place, homes)
    wanted_kwh = known.annual_kwh_per_home * homes * known.grid.hours / 8_760
    load = made_kw * (wanted_kwh / (made_kw.sum(dtype=np.float64) * known.grid.step_hours))
    pv = made_pv.astype(np.float64)
    if known.profiles == 1:
        load = known.num_prosumers / homes * load.sum(axis=1, keepdims=True)
        pv = pv.sum(axis=1, keepdims=True)
    else:
        columns = np.arange(known.profiles) % homes
        load, pv = load[:, columns], pv[:, columns] * (homes / known.profiles)
    pv_share = _pv_share(known, pv)
    weight = known.num_prosumers / known.profiles if known.profiles > 1 else 1.0
    return BaseYear(
        known.grid,
        _load(known, load, pv_share).astype(np.float32),
        pv_share.astype(np.float32),
        heating_degrees(_temperature(known, temperature_c), known.grid.steps * 24 // round(known.grid.hours)),
        known.import_price_per_kwh,
        known.export_price_per_kwh,
        known.emission_factor_kg_per_kwh,
        known.coefficients,
        homes_per_profile=weight,
        is_curtailable=known.net_load_kw is None,
    )


def _load(known: KnownYear, synthetic: Array, pv_share: Array) -> Array:
    """Each profile's load; from net meters what the generation leaves to be explained."""  # (T, N)
    if known.net_load_kw is not None:
        load_kw = np.maximum(known.net_load_kw + known.pv_capacity_kw * pv_share[:, 0], 0.0)
        return filled_like(load_kw, synthetic[:, 0])[:, None]
    if known.load_kw is None:
        return synthetic
    columns = range(known.load_kw.shape[1])
    return np.stack(
        [filled_like(known.load_kw[:, one].astype(np.float64), synthetic[:, one]) for one in columns], axis=1
    )


def _pv_share(known: KnownYear, synthetic: Array) -> Array:
    """Generation of each profile per kW of the community's PV."""  # (T, N)
    if known.pv_kw is None or known.pv_capacity_kw == 0 or not np.nansum(known.pv_kw):
        return synthetic
    weight = known.num_prosumers / known.profiles if known.profiles > 1 else 1.0
    of_all = synthetic.sum(axis=1, dtype=np.float64)
    columns = []
    for one in range(known.pv_kw.shape[1]):
        measured = known.pv_kw[:, one].astype(np.float64) * (weight / known.pv_capacity_kw)
        columns.append(filled_like(measured, of_all) if np.isfinite(measured).any() else np.zeros_like(of_all))
    return np.stack(columns, axis=1)


def _temperature(known: KnownYear, synthetic: Array) -> Array:
    """Measured temperature, gaps filled at its level."""  # (T,)
    if known.temperature_c is None or not np.isfinite(known.temperature_c).any():
        return synthetic
    is_known = np.isfinite(known.temperature_c)
    offset = float((known.temperature_c[is_known] - synthetic[is_known]).mean())
    return np.where(is_known, known.temperature_c, synthetic + offset)

"""What the generation of a zone emits on average, from its mix of fuels."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array


class EmissionBasis(StrEnum):
    """What is counted: what leaves the stack, or also what building, fuelling and removing the plant emits."""

    DIRECT = "direct"
    LIFE_CYCLE = "life_cycle"


@dataclass(frozen=True, slots=True)
class FuelFactor:
    """Greenhouse gases of one kind of generation in kg CO2 equivalent."""

    direct_kg_per_kwh: float
    life_cycle_kg_per_kwh: float

    def on(self, basis: EmissionBasis) -> float:
        """The factor of this basis."""
        return self.direct_kg_per_kwh if basis is EmissionBasis.DIRECT else self.life_cycle_kg_per_kwh


_COAL = FuelFactor(0.760, 0.820)
_BITUMINOUS_KG_PER_GJ = 94.6


def _like_coal(kg_per_gj: float) -> FuelFactor:
    """A fuel burnt in a steam plant as good as that of coal; upstream emissions are coal's."""
    direct = _COAL.direct_kg_per_kwh * kg_per_gj / _BITUMINOUS_KG_PER_GJ
    upstream = _COAL.life_cycle_kg_per_kwh - _COAL.direct_kg_per_kwh
    return FuelFactor(round(direct, 3), round(direct + upstream, 3))


FUEL_FACTORS = {
    "biomass": FuelFactor(0.0, 0.230),
    "lignite": _like_coal(101.0),
    "coal_gas": _COAL,
    "gas": FuelFactor(0.370, 0.490),
    "hard_coal": _COAL,
    "oil": FuelFactor(_like_coal(77.4).direct_kg_per_kwh, 0.840),
    "oil_shale": _like_coal(107.0),
    "peat": _like_coal(106.0),
    "geothermal": FuelFactor(0.0, 0.038),
    "run_of_river": FuelFactor(0.0, 0.024),
    "reservoir": FuelFactor(0.0, 0.024),
    "marine": FuelFactor(0.0, 0.017),
    "nuclear": FuelFactor(0.0, 0.012),
    "other_renewable": FuelFactor(0.0, 0.230),
    "solar": FuelFactor(0.0, 0.048),
    "waste": _like_coal(91.7),
    "wind_offshore": FuelFactor(0.0, 0.012),
    "wind_onshore": FuelFactor(0.0, 0.011),
}
"""Factors by kind of generation. Other kinds are taken to be like the rest; storage counts by what filled it.

Source: Schlömer et al. 2014, IPCC AR5 WG III Annex III, Table A.III.2, medians (coal, gas, biomass, geothermal, hydro,
ocean, nuclear, wind, utility photovoltaics). What it does not list is scaled from its coal by the carbon of the fuel
in IPCC 2006 Guidelines, vol. 2, ch. 2, Table 2.2 (lignite 101, oil shale 107, peat 106, residual oil 77.4, municipal
waste 91.7, other bituminous coal 94.6 kg/GJ). Oil over its life: Moomaw et al. 2011, IPCC SRREN Annex II, Table
A.II.4. Carbon of biomass counts as 0 where it is burnt (IPCC 2006, vol. 2, ch. 2.3.3.4). Waste: that half of it is
biogenic is about made up for by the low efficiency of its plants. Other renewables carry the factor of biomass, the
highest of them.
"""

LEAST_TOLD = 0.5
"""Where less than this share of the usual generation is told, some have not told theirs yet."""


@dataclass(frozen=True, slots=True, eq=False)
class GenerationMix:
    """Generation of a zone by kind; NaN where a kind has told nothing."""

    grid: TimeGrid
    generation_kw: Mapping[str, Array]  # each (T,)

    def __post_init__(self) -> None:
        for kind, values in self.generation_kw.items():
            if values.shape != (self.grid.steps,):
                raise InvalidInput(f"{kind} must have {self.grid.steps} values, got {values.size}")


def average_emission_factor(mix: GenerationMix, basis: EmissionBasis) -> Array:
    """Emissions per energy generated, of the kinds that have a factor; NaN where too little is told.

    For reporting: imports from other zones and losses are not in it, and it says nothing of the plant that answers
    one more kilowatt.
    """  # -> (T,)
    emitted, generated = np.zeros(mix.grid.steps), np.zeros(mix.grid.steps)
    for kind, factor in FUEL_FACTORS.items():
        if kind in mix.generation_kw:
            told = np.maximum(np.nan_to_num(mix.generation_kw[kind]), 0.0)
            emitted += factor.on(basis) * told
            generated += told
    is_enough = (generated > 0) & (generated >= LEAST_TOLD * np.median(generated))
    return np.divide(emitted, generated, out=np.full(mix.grid.steps, np.nan), where=is_enough)

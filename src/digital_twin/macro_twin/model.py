"""The twin's model of one community: where its states begin, how they move, and what its meters stand for."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.coverage import Indices, MeterGroup
from digital_twin.macro_twin.filtering import Dynamics
from digital_twin.macro_twin.kalman import Gaussian
from digital_twin.macro_twin.packing import pack, unpack
from digital_twin.macro_twin.panel import Panel, panel_arrays, panel_from
from digital_twin.macro_twin.shares import LASTING_HOURS, MeterHistory, learn_group
from digital_twin.macro_twin.storage import Policy, idle_policy
from digital_twin.macro_twin.structure import (
    DAILY_PAIRS,
    DEMAND_REMAINDER,
    DEMAND_TERMS,
    ENERGY,
    EXCHANGE,
    LOAD,
    LOAD_BIAS,
    NET_LOAD,
    OBSERVED,
    PV_BIAS,
    PV_CLOUD,
    PV_GAIN,
    PV_REMAINDER,
    SIZE,
    STORAGE_BIAS,
    WEEKEND_PAIRS,
    Plant,
)
from digital_twin.macro_twin.units import Kind, Patterns, no_patterns

CLEARNESS = 0.62
"""Mean share of the clear-sky generation that clouds leave: a south roof in Vienna then yields about 1,100 kWh per kW a
year, the long-term figure of PVGIS 5 for that place."""

CLOUD_DEVIATION, CLOUD_HOURS = 0.55, 6.0
GAIN_DEVIATION = 0.25
COMMON_DEVIATION, SINGLE_HOME_DEVIATION, UNKNOWN_LEVEL_DEVIATION = 0.20, 0.56, 0.35
"""Of the load of N homes from what is expected, sqrt(a^2 + b^2 / N), fitted to groups of 1 to 537 metered Swiss homes;
and of the level itself before any reading: averages of European countries lie between half and twice the European."""

REMAINDER_HOURS, PV_REMAINDER_HOURS = 3.0, 2.0
EXCHANGE_DEVIATION, EXCHANGE_HOURS = 0.25, 3.0
PV_BIAS_HOURS, STORAGE_BIAS_HOURS = 3.0, 6.0
LEVEL_WALK, WAVE_WALK = 0.02, 0.01
"""By how much the level and the waves of demand change in a day, relative to the level."""
GAIN_WALK = 0.01
LEAST_RELATIVE_LOAD = 0.1
_GROUP_ARRAYS = ("weight", "level", "variance", "unmetered_variance", "ceiling", "floor")
_PATTERN_ARRAYS = ("loading", "precision", "variance", "level", "level_precision", "top")
STORAGE_ERROR = 1e-2
"""Of the energy in an hour, relative to the capacity: what efficiencies and self-discharge leave unexplained."""


PANELS = (LOAD, NET_LOAD)
"""Quantities whose meters are followed as a panel."""


@dataclass(frozen=True, slots=True, eq=False)
class TwinModel:
    """Everything that advancing needs besides the state and the readings."""

    plant: Plant
    step_minutes: int
    start: Gaussian
    dynamics: Dynamics
    groups: tuple[MeterGroup, ...]  # one for each of `OBSERVED`
    panels: tuple[Panel | None, Panel | None]  # of meters of load and of net load
    patterns: tuple[Patterns, Patterns]  # of roofs and of batteries
    pv_shape: Array  # (slots of the day,) stands in for the clear sky where that does not fit; empty where it does
    days: float  # of history that it was learned from

    def sky(self, slot: Indices, clear_sky: Array) -> Array:
        """The clear sky of these slots of the day, or what stands in for it."""  # (T,)
        return np.ascontiguousarray(self.pv_shape[slot] if self.pv_shape.size else clear_sky, dtype=np.float64)

    def to_bytes(self) -> bytes:
        """As it is kept."""
        groups = [
            {"ids": list(one.ids), "metered_share": one.metered_share, "lasting": one.lasting, "scale": one.scale}
            for one in self.groups
        ]
        numbers = self.dynamics._asdict()
        of_states: dict[str, Array] = {name: numbers.pop(name) for name in ("decay", "walk")}
        of_hours = {f"policy_{name}": values for name, values in numbers.pop("policy")._asdict().items()}
        values = {
            "plant": asdict(self.plant),
            "step": self.step_minutes,
            "days": self.days,
            "numbers": numbers,
            "groups": groups,
            "kinds": [list(one.kind) for one in self.patterns],
        }
        arrays = {"mean": self.start.mean, "covariance": self.start.covariance} | of_states | of_hours
        for index, one in enumerate(self.groups):
            arrays |= {f"{name}_{index}": getattr(one, name) for name in _GROUP_ARRAYS}
            arrays[f"own_ceiling_{index}"] = np.array([one.own_ceiling])  # may be infinite, which JSON has no word for
        for index, one in enumerate(self.patterns):
            arrays |= {f"pattern_{name}_{index}": getattr(one, name) for name in _PATTERN_ARRAYS}
        for index, panel in enumerate(self.panels):
            if panel is not None:
                arrays |= {f"panel_{name}_{index}": array for name, array in panel_arrays(panel).items()}
        return pack(values, arrays | {"pv_shape": self.pv_shape})

    @classmethod
    def from_bytes(cls, data: bytes) -> "TwinModel":
        """Raises InvalidInput for bytes of another version."""
        values, arrays = unpack(data)
        groups = tuple(_group(one, arrays, index) for index, one in enumerate(values["groups"]))
        policy = Policy(*(arrays[f"policy_{name}"] for name in Policy._fields))
        dynamics = Dynamics(decay=arrays["decay"], walk=arrays["walk"], policy=policy, **values["numbers"])
        start = Gaussian(arrays["mean"], arrays["covariance"])
        plant = Plant(**values["plant"])
        roofs, batteries = (_patterns(one, arrays, index) for index, one in enumerate(values["kinds"]))
        load, net_load = (_panel(groups[quantity].ids, arrays, index) for index, quantity in enumerate(PANELS))
        shape, days = arrays["pv_shape"], values["days"]
        return cls(plant, values["step"], start, dynamics, groups, (load, net_load), (roofs, batteries), shape, days)


def _group(values: dict[str, Any], arrays: dict[str, Array], index: int) -> MeterGroup:
    ids, own_ceiling = tuple(values.pop("ids")), float(arrays[f"own_ceiling_{index}"][0])
    of_meters: dict[str, Any] = {name: arrays[f"{name}_{index}"] for name in _GROUP_ARRAYS}
    return MeterGroup(ids=ids, own_ceiling=own_ceiling, **values, **of_meters)


def _patterns(kind: list[Any], arrays: dict[str, Array], index: int) -> Patterns:
    return Patterns(kind=Kind(*kind), **{name: arrays[f"pattern_{name}_{index}"] for name in _PATTERN_ARRAYS})


def _panel(ids: tuple[str, ...], arrays: dict[str, np.ndarray[Any, Any]], index: int) -> Panel | None:
    prefix, suffix = "panel_", f"_{index}"
    told = {name: array for name, array in arrays.items() if name.startswith(prefix) and name.endswith(suffix)}
    return panel_from(ids, {name[len(prefix) : -len(suffix)]: array for name, array in told.items()}) if told else None


def prior_model(plant: Plant, step_minutes: int, features: Array, expected_kw: Array) -> TwinModel:
    """The model of a community that nothing is known of but its plan.

    Args:
        plant: the plan
        step_minutes: of the twin
        features: of demand over at least a week, (T, DEMAND_TERMS)
        expected_kw: demand that is expected in the same intervals, (T,)
    """
    coefficients = np.linalg.lstsq(features, expected_kw, rcond=None)[0]
    level = max(float(expected_kw.mean()), 1e-3)
    mean = np.zeros(SIZE)
    mean[:DEMAND_TERMS] = coefficients
    mean[PV_GAIN] = CLEARNESS * plant.pv_capacity_kw
    mean[ENERGY] = plant.storage_capacity_kwh / 2
    remainder = float(np.hypot(COMMON_DEVIATION, SINGLE_HOME_DEVIATION / np.sqrt(plant.num_prosumers)))
    deviation = np.zeros(SIZE)
    deviation[:DEMAND_TERMS] = level * relative_spread(UNKNOWN_LEVEL_DEVIATION, 0.15)
    deviation[DEMAND_REMAINDER] = remainder * level
    deviation[PV_GAIN] = GAIN_DEVIATION * mean[PV_GAIN]
    deviation[PV_CLOUD] = CLOUD_DEVIATION * mean[PV_GAIN]
    deviation[[LOAD_BIAS, PV_BIAS, STORAGE_BIAS]] = 1.0
    deviation[EXCHANGE] = EXCHANGE_DEVIATION * plant.storage_power_kw
    deviation[ENERGY] = plant.storage_capacity_kwh / np.sqrt(12)
    noise = Shocks(remainder, REMAINDER_HOURS, CLOUD_DEVIATION, CLOUD_HOURS, 0.0, float(deviation[EXCHANGE]))
    return TwinModel(
        plant=plant,
        step_minutes=step_minutes,
        start=Gaussian(mean, np.diag(deviation**2)),
        dynamics=make_dynamics(plant, step_minutes, level, float(mean[PV_GAIN]), noise),
        groups=tuple(_no_group(name, level, plant) for name in OBSERVED),
        panels=(None, None),
        patterns=(no_patterns(), no_patterns()),
        pv_shape=np.empty(0),
        days=0.0,
    )


@dataclass(frozen=True, slots=True)
class Shocks:
    """How lively demand, clouds and storage are: standard deviations in the long run, and memories."""

    demand: float  # relative to the load
    demand_hours: float
    cloud: float  # relative to the gain
    cloud_hours: float
    pv_remainder_kw: float
    exchange_kw: float


def make_dynamics(plant: Plant, step_minutes: int, level_kw: float, gain_kw: float, shocks: Shocks) -> Dynamics:
    """The transition for one step."""
    hours = step_minutes / 60

    def keep(memory_hours: float) -> float:
        return float(np.exp(-hours / memory_hours))

    decay, walk = np.ones(SIZE), np.zeros(SIZE)
    daily = level_kw * relative_spread(LEVEL_WALK, WAVE_WALK)
    walk[:DEMAND_TERMS] = daily**2 * hours / 24
    walk[PV_GAIN] = (GAIN_WALK * gain_kw) ** 2 * hours / 24
    walk[ENERGY] = (STORAGE_ERROR * plant.storage_capacity_kwh) ** 2 * hours
    decay[DEMAND_REMAINDER] = keep(shocks.demand_hours)
    decay[PV_CLOUD] = keep(shocks.cloud_hours)
    lasting = {
        PV_REMAINDER: (PV_REMAINDER_HOURS, shocks.pv_remainder_kw),
        LOAD_BIAS: (LASTING_HOURS, 1.0),
        PV_BIAS: (PV_BIAS_HOURS, 1.0),
        STORAGE_BIAS: (STORAGE_BIAS_HOURS, 1.0),
    }
    for state, (memory_hours, deviation) in lasting.items():
        decay[state] = keep(memory_hours)
        walk[state] = (1 - decay[state] ** 2) * deviation**2
    decay[EXCHANGE] = keep(EXCHANGE_HOURS)
    steps_a_day = 24 / hours
    return Dynamics(
        decay=decay,
        walk=walk,
        demand_shock=shocks.demand * float(np.sqrt(1 - decay[DEMAND_REMAINDER] ** 2)),
        demand_floor_kw=LEAST_RELATIVE_LOAD * level_kw,
        cloud_shock=shocks.cloud * float(np.sqrt(1 - decay[PV_CLOUD] ** 2)),
        charge_hours=hours * plant.charge_efficiency,
        discharge_hours=hours / plant.discharge_efficiency,
        capacity_kwh=plant.storage_capacity_kwh,
        adaptation=0.5 / steps_a_day,
        memory_steps=7 * steps_a_day,
        feeder_doubt=0.0,
        policy=idle_policy(shocks.exchange_kw * float(np.sqrt(1 - decay[EXCHANGE] ** 2))),
    )


def relative_spread(level: float, wave: float) -> Array:
    """Deviations of the demand coefficients relative to the level: finer waves are smaller."""  # (DEMAND_TERMS,)
    pairs = [wave / order for order in range(1, DAILY_PAIRS + 1) for _ in range(2)]
    weekend = [wave / order for order in range(1, WEEKEND_PAIRS + 1) for _ in range(2)]
    return np.array([level, *pairs, wave, *weekend])


def _no_group(name: str, level_kw: float, plant: Plant) -> MeterGroup:
    nothing = np.empty(0)
    typical = {"pv_kw": plant.pv_capacity_kw / 8, "storage_soc_kwh": plant.storage_capacity_kwh}.get(name, level_kw)
    history = MeterHistory((), np.empty((0, 0)), nothing, nothing.astype(np.int64), 1.0, 1.0, typical, False)
    return learn_group(history).group

"""The twin's model of one community: where its states begin, how they move, and what its meters stand for."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin.coverage import Indices, MeterGroup
from digital_twin.macro_twin.demand import DEGREE_WALK, Demand, expected_demand
from digital_twin.macro_twin.departures import Departures
from digital_twin.macro_twin.filtering import Dynamics, Outlook
from digital_twin.macro_twin.habits import REMAINDER, Tomorrow, tomorrow_of
from digital_twin.macro_twin.kalman import Gaussian
from digital_twin.macro_twin.packing import pack, unpack
from digital_twin.macro_twin.panel import Panel, panel_arrays, panel_from
from digital_twin.macro_twin.shares import LASTING_HOURS, MeterHistory, learn_group
from digital_twin.macro_twin.storage import Policy, idle_policy
from digital_twin.macro_twin.structure import (
    DEMAND_HABIT,
    DEMAND_REMAINDER,
    DEMAND_TERMS,
    DEPARTURE_TERMS,
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
    Plant,
    calendar_of,
    demand_features,
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
UNKNOWN_LEVEL_HOURS, UNKNOWN_WAVE, UNKNOWN_GAIN = 72.0, 0.15, 0.15
"""Of a demand without history: for how long it stays away from what is expected, its waves relative to it, and what
part of a day becomes habit."""

ADAPTATION, DAY_ADAPTATION = 10.0, 1.0
"""By how much a day of missed readings lets the logarithm of the noise grow: of all of demand, of its days."""

UNMETERED_HOURS = 168.0
"""In which those without a meter may depart from the others as far as they may have done at first."""

GAIN_WALK = 0.01
_DYNAMICS_ARRAYS = ("decay", "walk", "liveliness", "day_kinds")
_DEMAND_ARRAYS = ("habit_kw", "day_kinds_kw", "degrees", "degrees_deviation", "liveliness")
_GROUP_ARRAYS = ("weight", "variance", "unmetered_variance", "ceiling", "floor")
_PATTERN_ARRAYS = ("loading", "precision", "variance", "level", "level_precision", "top")
STORAGE_ERROR = 1e-3
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
    demand: Demand
    groups: tuple[MeterGroup, ...]  # one for each of `OBSERVED`
    panels: tuple[Panel | None, Panel | None]  # of meters of load and of net load
    patterns: tuple[Patterns, Patterns]  # of roofs and of batteries
    pv_shape: Array  # (slots of the day,) stands in for the clear sky where that does not fit; empty where it does
    days: float  # of history that it was learned from

    def sky(self, slot: Indices, clear_sky: Array) -> Array:
        """The clear sky of these slots of the day, or what stands in for it."""  # (T,)
        return np.ascontiguousarray(self.pv_shape[slot] if self.pv_shape.size else clear_sky, dtype=np.float64)

    def outlook(self, grid: TimeGrid, clear_sky: Array, felt_c: Array) -> Outlook:
        """What is known beforehand of each step, from the clear sky and the temperature as buildings feel it."""
        slot, kind = calendar_of(grid, self.plant.timezone, self.plant.country)
        return Outlook(demand_features(slot, grid.step_minutes, felt_c), slot, kind, self.sky(slot, clear_sky))

    def to_bytes(self) -> bytes:
        """As it is kept."""
        groups = [{"ids": list(one.ids), "metered_share": one.metered_share, "scale": one.scale} for one in self.groups]
        numbers = self.dynamics._asdict()
        moves = {name: numbers.pop(name) for name in _DYNAMICS_ARRAYS}
        nested = {name: numbers.pop(name)._asdict() for name in ("tomorrow", "policy")}
        values = {
            "plant": asdict(self.plant),
            "step": self.step_minutes,
            "days": self.days,
            "numbers": numbers,
            "demand": {"scale_kw": self.demand.scale_kw, "habit_deviation": self.demand.habit_deviation},
            "departures": asdict(self.demand.departures),
            "groups": groups,
            "kinds": [list(one.kind) for one in self.patterns],
        }
        arrays = {"mean": self.start.mean, "covariance": self.start.covariance, **moves}
        arrays |= {f"{name}_{one}": array for name, members in nested.items() for one, array in members.items()}
        arrays |= {f"demand_{name}": getattr(self.demand, name) for name in _DEMAND_ARRAYS}
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
        tomorrow = Tomorrow(*(arrays[f"tomorrow_{name}"] for name in Tomorrow._fields))
        policy = Policy(*(arrays[f"policy_{name}"] for name in Policy._fields))
        moves = {name: arrays[name] for name in _DYNAMICS_ARRAYS}
        of_demand: dict[str, Any] = {name: arrays[f"demand_{name}"] for name in _DEMAND_ARRAYS}
        roofs, batteries = (_patterns(one, arrays, index) for index, one in enumerate(values["kinds"]))
        load, net_load = (_panel(groups[quantity].ids, arrays, index) for index, quantity in enumerate(PANELS))
        return cls(
            plant=Plant(**values["plant"]),
            step_minutes=values["step"],
            start=Gaussian(arrays["mean"], arrays["covariance"]),
            dynamics=Dynamics(tomorrow=tomorrow, policy=policy, **moves, **values["numbers"]),
            demand=Demand(departures=Departures(**values["departures"]), **values["demand"], **of_demand),
            groups=groups,
            panels=(load, net_load),
            patterns=(roofs, batteries),
            pv_shape=arrays["pv_shape"],
            days=values["days"],
        )


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


def prior_model(plant: Plant, grid: TimeGrid, expected_kw: Array) -> TwinModel:
    """The model of a community that nothing is known of but its plan.

    Args:
        plant: the plan
        grid: at least a week, with the twin's step
        expected_kw: demand that is expected in it, (T,)
    """
    remainder = float(np.hypot(COMMON_DEVIATION, SINGLE_HOME_DEVIATION / np.sqrt(plant.num_prosumers)))
    departures = Departures(
        UNKNOWN_LEVEL_DEVIATION, UNKNOWN_LEVEL_HOURS, UNKNOWN_WAVE, remainder, REMAINDER_HOURS, UNKNOWN_GAIN
    )
    demand = expected_demand(*calendar_of(grid, plant.timezone), expected_kw, departures)
    gain_kw = CLEARNESS * plant.pv_capacity_kw
    exchange_kw = EXCHANGE_DEVIATION * plant.storage_power_kw
    shocks = Shocks(CLOUD_DEVIATION, CLOUD_HOURS, 0.0, exchange_kw)
    dynamics = make_dynamics(plant, grid.step_minutes, demand, gain_kw, shocks)
    mean, deviation = start_of(demand)
    mean[PV_GAIN], deviation[PV_GAIN] = gain_kw, GAIN_DEVIATION * gain_kw
    deviation[PV_CLOUD] = CLOUD_DEVIATION * gain_kw
    deviation[[LOAD_BIAS, PV_BIAS, STORAGE_BIAS]] = 1.0
    deviation[EXCHANGE] = exchange_kw
    mean[ENERGY], deviation[ENERGY] = plant.storage_capacity_kwh / 2, plant.storage_capacity_kwh / np.sqrt(12)
    return TwinModel(
        plant=plant,
        step_minutes=grid.step_minutes,
        start=Gaussian(mean, np.diag(deviation**2)),
        dynamics=dynamics,
        demand=demand,
        groups=tuple(_no_group(name, demand.scale_kw, plant) for name in OBSERVED),
        panels=(None, None),
        patterns=(no_patterns(), no_patterns()),
        pv_shape=np.empty(0),
        days=0.0,
    )


def start_of(demand: Demand) -> tuple[Array, Array]:
    """Mean and deviation of the states of demand before a reading, zeros for the others."""  # (SIZE,), (SIZE,)
    decay, noise = demand.departures.motion(1.0)
    parts = np.sqrt(noise / (1 - decay**2))
    mean, deviation = np.zeros(SIZE), np.zeros(SIZE)
    mean[DEMAND_HABIT], deviation[DEMAND_HABIT] = 1.0, demand.habit_deviation
    mean[DEPARTURE_TERMS:DEMAND_TERMS] = demand.degrees
    deviation[:DEPARTURE_TERMS], deviation[DEMAND_REMAINDER] = parts[:DEPARTURE_TERMS], parts[REMAINDER]
    deviation[DEPARTURE_TERMS:DEMAND_TERMS] = demand.degrees_deviation
    return mean, deviation


@dataclass(frozen=True, slots=True)
class Shocks:
    """How lively clouds and storage are: standard deviations in the long run, and memories."""

    cloud: float  # relative to the gain
    cloud_hours: float
    pv_remainder_kw: float
    exchange_kw: float


def make_dynamics(plant: Plant, step_minutes: int, demand: Demand, gain_kw: float, shocks: Shocks) -> Dynamics:
    """The transition for one step."""
    hours = step_minutes / 60

    def keep(memory_hours: float) -> float:
        return float(np.exp(-hours / memory_hours))

    decay, walk = np.ones(SIZE), np.zeros(SIZE)
    kept, shaken = demand.departures.motion(hours)
    decay[:DEPARTURE_TERMS], walk[:DEPARTURE_TERMS] = kept[:DEPARTURE_TERMS], shaken[:DEPARTURE_TERMS]
    decay[DEMAND_REMAINDER] = kept[REMAINDER]
    walk[DEPARTURE_TERMS:DEMAND_TERMS] = (DEGREE_WALK * demand.scale_kw) ** 2 * hours / 24
    walk[DEMAND_HABIT] = demand.habit_deviation**2 * hours / UNMETERED_HOURS
    walk[PV_GAIN] = (GAIN_WALK * gain_kw) ** 2 * hours / 24
    walk[ENERGY] = (STORAGE_ERROR * plant.storage_capacity_kwh) ** 2 * hours
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
    steps_a_day = 1440 // step_minutes
    return Dynamics(
        decay=decay,
        walk=walk,
        liveliness=demand.liveliness * float(np.sqrt(shaken[REMAINDER])),
        day_kinds=demand.day_kinds_kw,
        tomorrow=tomorrow_of(kept, shaken, steps_a_day),
        habit_gain=demand.departures.habit_gain,
        cloud_shock=shocks.cloud * float(np.sqrt(1 - decay[PV_CLOUD] ** 2)),
        charge_hours=hours * plant.charge_efficiency,
        discharge_hours=hours / plant.discharge_efficiency,
        capacity_kwh=plant.storage_capacity_kwh,
        adaptation=ADAPTATION / steps_a_day,
        day_adaptation=DAY_ADAPTATION / steps_a_day,
        memory_steps=7 * steps_a_day,
        feeder_doubt=0.0,
        policy=idle_policy(shocks.exchange_kw * float(np.sqrt(1 - decay[EXCHANGE] ** 2))),
    )


def _no_group(name: str, level_kw: float, plant: Plant) -> MeterGroup:
    nothing = np.empty(0)
    typical = {"pv_kw": plant.pv_capacity_kw / 8, "storage_soc_kwh": plant.storage_capacity_kwh}.get(name, level_kw)
    history = MeterHistory((), np.empty((0, 0)), nothing, nothing.astype(np.int64), 1.0, 1.0, typical)
    return learn_group(history).group

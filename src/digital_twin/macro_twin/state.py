"""The state of a community at one instant, and how readings move it on.

A state is a value: the same state, model and readings give the same bytes, in one stretch or in many. So a state that
was kept before late readings, moved on again with them, is the state that they would have led to in time.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin.calibration import TwinReadings
from digital_twin.macro_twin.coverage import (
    METER_ERROR,
    Indices,
    SumReading,
    believed_own,
    read_own,
    read_whole,
    run_lengths,
)
from digital_twin.macro_twin.felt import feel
from digital_twin.macro_twin.filtering import NO_TRAIL, Inputs, Memory, memory_of, run_filter
from digital_twin.macro_twin.habits import Habits
from digital_twin.macro_twin.kalman import Gaussian
from digital_twin.macro_twin.model import PANELS, TwinModel
from digital_twin.macro_twin.packing import pack, unpack
from digital_twin.macro_twin.panel import PanelMemory, Whole
from digital_twin.macro_twin.panel_filter import follow
from digital_twin.macro_twin.structure import (
    ESTIMATED,
    LOAD,
    NET_LOAD,
    OBSERVED,
    PV,
    STATES,
    STORAGE_SOC,
    slots_of,
)
from digital_twin.macro_twin.trail import Trail
from digital_twin.macro_twin.units import read_units

Counts = Indices


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What was estimated for each step that was passed."""

    mean: Array  # (T, 4) in the order of `ESTIMATED`
    deviation: Array  # (T, 4)
    coverage: Array  # (T,) part of the consumption that reporting meters stand for, 0..1
    nis: Array  # (T,) running mean, NaN before the first reading
    reporting: Counts  # (T,) fewest meters behind any sum that was used; 0 where no sum was


@dataclass(frozen=True, slots=True, eq=False)
class TwinState:
    """What is believed at the end of the last step, and what else the next step needs."""

    instant: datetime
    belief: Gaussian
    memory: Memory
    panels: tuple[PanelMemory | None, PanelMemory | None]  # what is believed of meters of load and of net load
    felt_c: float  # temperature as buildings feel it, NaN before the first
    estimate: Array  # (4,) of the last step, in the order of `ESTIMATED`
    deviation: Array  # (4,)
    coverage: float
    reporting: int
    last_values: tuple[Array, ...]  # of each quantity's meters
    run_lengths: tuple[Counts, ...]  # for how many readings each has shown its last value

    @property
    def nis(self) -> float | None:
        """Running mean of the normalised innovation squared, about 1 where the twin is as sure as it should be."""
        return self.memory.nis if self.memory.nis_count else None

    @property
    def digest(self) -> str:
        """A hash of everything in it."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """As it is kept."""
        triangle = np.tril_indices(len(STATES))
        values = {
            "instant": int(self.instant.timestamp()),
            "memory": [self.memory.noise_scale, self.memory.nis, self.memory.nis_count, self.memory.day_scale],
            "coverage": self.coverage,
            "reporting": self.reporting,
        }
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "mean": self.belief.mean,
            "covariance": self.belief.covariance[triangle],
            "estimate": self.estimate,
            "deviation": self.deviation,
            "stream_nis": self.memory.stream_nis,
            "stream_counts": self.memory.stream_counts,
            "felt_c": np.array([self.felt_c]),  # may be NaN, which JSON has no word for
            "surplus_kw": np.array([self.memory.surplus_kw]),
            **self.memory.habits._asdict(),
        }
        for index in range(len(OBSERVED)):
            arrays[f"last_{index}"] = self.last_values[index]
            arrays[f"run_{index}"] = self.run_lengths[index]
        for index, panel in enumerate(self.panels):
            if panel is not None:
                arrays |= {f"panel_{name}_{index}": array for name, array in panel._asdict().items()}
        return pack(values, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> "TwinState":
        """Raises InvalidInput for bytes of another version."""
        values, arrays = unpack(data)
        covariance = np.zeros((len(STATES), len(STATES)))
        covariance[np.tril_indices(len(STATES))] = arrays["covariance"]
        noise_scale, nis, nis_count, day_scale = values["memory"]
        streams = arrays["stream_nis"], arrays["stream_counts"]
        habits = Habits(*(arrays[name] for name in Habits._fields))
        return cls(
            instant=datetime.fromtimestamp(values["instant"], UTC),
            belief=Gaussian(arrays["mean"], covariance),
            memory=Memory(noise_scale, nis, nis_count, *streams, float(arrays["surplus_kw"][0]), day_scale, habits),
            panels=(_panel_memory(arrays, 0), _panel_memory(arrays, 1)),
            felt_c=float(arrays["felt_c"][0]),
            estimate=arrays["estimate"],
            deviation=arrays["deviation"],
            coverage=values["coverage"],
            reporting=values["reporting"],
            last_values=tuple(arrays[f"last_{index}"] for index in range(len(OBSERVED))),
            run_lengths=tuple(arrays[f"run_{index}"] for index in range(len(OBSERVED))),
        )


def _panel_memory(arrays: dict[str, np.ndarray[Any, Any]], index: int) -> PanelMemory | None:
    if f"panel_driver_{index}" not in arrays:
        return None
    return PanelMemory(*(arrays[f"panel_{name}_{index}"] for name in PanelMemory._fields))


@dataclass(frozen=True, slots=True, eq=False)
class Advanced:
    """The state after some steps and what was estimated on the way."""

    state: TwinState
    track: Track


def start_state(model: TwinModel, instant: datetime) -> TwinState:
    """The state before any reading."""
    load, net_load = (None if panel is None else PanelMemory.at_rest(panel) for panel in model.panels)
    return TwinState(
        instant=instant,
        belief=model.start,
        memory=memory_of(model.demand.habit_kw),
        panels=(load, net_load),
        felt_c=np.nan,
        estimate=np.zeros(len(ESTIMATED)),
        deviation=np.zeros(len(ESTIMATED)),
        coverage=0.0,
        reporting=0,
        last_values=tuple(np.full(len(group.ids), np.nan) for group in model.groups),
        run_lengths=tuple(np.zeros(len(group.ids), dtype=np.int64) for group in model.groups),
    )


def read_plant(model: TwinModel, readings: TwinReadings, own: Array, hour: Indices) -> tuple[SumReading, SumReading]:
    """What roofs and batteries say of all of them."""
    dark = (readings.clear_sky <= 0) & (model.pv_shape.size == 0)
    roofs, batteries = (
        read_units(own[:, index], readings.meters[index], hour, model.groups[index], patterns, possible)
        for index, patterns, possible in zip(
            (PV, STORAGE_SOC), model.patterns, (~dark, np.ones_like(dark)), strict=True
        )
    )
    return roofs, batteries


def advance(state: TwinState, model: TwinModel, readings: TwinReadings, trail: Trail = NO_TRAIL) -> Advanced:
    """The state at the end of the readings' grid, which must begin where the state ends.

    A trail with room for the grid's steps is filled for `smoothing.py`.
    """
    if readings.grid.start != state.instant:
        raise ValueError(f"readings must begin at {state.instant}, got {readings.grid.start}")
    grid = readings.grid
    felt_c = feel(readings.temperature_c, grid.steps, before_c=state.felt_c, step_hours=grid.step_hours)
    outlook = model.outlook(grid, readings.clear_sky, felt_c)
    hour = outlook.slot * grid.step_minutes // 60
    own = believed_own(readings.own, model.groups)
    sums = [read_own(own[:, index], group) for index, group in enumerate(model.groups)]
    (load, net_load), wholes = _follow_panels(state, model, readings)
    for quantity, whole in wholes.items():
        sums[quantity] = read_whole(own[:, quantity], whole, model.groups[quantity])
    sums[PV], sums[STORAGE_SOC] = read_plant(model, readings, own, hour)
    inputs = Inputs(
        outlook=outlook,
        value=np.stack([one.value for one in sums], axis=1),
        share=np.stack([one.share for one in sums], axis=1),
        noise=np.stack([one.noise for one in sums], axis=1),
        lasting=np.stack([one.lasting for one in sums], axis=1),
        exact=np.array([(METER_ERROR * group.scale) ** 2 for group in model.groups]),
    )
    mean, covariance = state.belief.mean.copy(), state.belief.covariance.copy()
    memory, estimates, variances, nis = run_filter(mean, covariance, state.memory, model.dynamics, inputs, trail)
    take_from_panels(estimates, variances, wholes, own, model)
    covered = [wholes[index].share if index in wholes else sums[index].share for index in PANELS]
    has_own = np.isfinite(own[:, PANELS]).any(axis=1)
    track = Track(
        mean=not_negative(estimates),
        deviation=np.sqrt(variances),
        coverage=np.where(has_own, 1.0, np.minimum(np.maximum(*covered), 1.0)),
        nis=nis,
        reporting=_fewest(np.stack([one.reporting for one in sums], axis=1)),
    )
    last_values, lengths = _count_on(state, readings)
    after = TwinState(
        instant=grid.end,
        belief=Gaussian(mean, covariance),
        memory=memory,
        panels=(load, net_load),
        felt_c=float(felt_c[-1]),
        estimate=track.mean[-1].copy(),
        deviation=track.deviation[-1].copy(),
        coverage=float(track.coverage[-1]),
        reporting=int(track.reporting[-1]),
        last_values=last_values,
        run_lengths=lengths,
    )
    return Advanced(after, track)


def panel_steps(grid: TimeGrid, zone: str, country: str | None) -> tuple[Counts, Counts]:
    """Kind and number of each step, as `panel.follow` takes them."""  # (T,), (T,)
    slot, is_weekend = slots_of(grid, zone, country)
    a_day = 1440 // grid.step_minutes
    step = int(grid.start.timestamp()) // (60 * grid.step_minutes) + np.arange(grid.steps)
    return (slot + a_day * is_weekend).astype(np.int64), step


def _follow_panels(
    state: TwinState, model: TwinModel, readings: TwinReadings
) -> tuple[list[PanelMemory | None], dict[int, Whole]]:
    """What is believed of meters afterwards, and what each panel says of the whole on the way."""
    kind, step = panel_steps(readings.grid, model.plant.timezone, model.plant.country)
    memories: list[PanelMemory | None] = []
    wholes: dict[int, Whole] = {}
    for quantity, panel, before in zip(PANELS, model.panels, state.panels, strict=True):
        memory = None if before is None else before.copy()
        if panel is not None and memory is not None:
            wholes[quantity] = follow(panel, memory, readings.meters[quantity], kind, step)
        memories.append(memory)
    return memories, wholes


def take_from_panels(
    estimates: Array, variances: Array, wholes: dict[int, Whole], own: Array, model: TwinModel
) -> None:
    """Where one panel alone tells of consumption, say of it what the panel says: it knows its meters one by one."""
    if len(wholes) != 1:
        return
    ((quantity, whole),) = wholes.items()
    is_alone = ~np.isfinite(own[:, PANELS]).any(axis=1)
    exact = (METER_ERROR * model.groups[quantity].scale) ** 2
    moved = np.where(is_alone, whole.mean - estimates[:, quantity], 0.0)
    wider = np.where(is_alone, whole.variance + exact - variances[:, quantity], 0.0)
    for index in (LOAD, NET_LOAD) if quantity == LOAD else (NET_LOAD,):  # net load is made of demand
        estimates[:, index] += moved
        variances[:, index] = np.maximum(variances[:, index] + wider, exact)


def stuck_meters(state: TwinState, model: TwinModel, quantity: int) -> list[str]:
    """Meters that have shown one and the same value for a day: worth a look, yet believed."""
    a_day = 1440 // model.step_minutes
    return [
        meter
        for meter, length in zip(model.groups[quantity].ids, state.run_lengths[quantity], strict=True)
        if length >= a_day
    ]


def not_negative(estimates: Array) -> Array:
    """Only net load may be below 0."""
    bounded = np.maximum(estimates, 0.0)
    bounded[:, NET_LOAD] = estimates[:, NET_LOAD]
    return bounded


def _fewest(reporting: Counts) -> Counts:
    """The fewest meters of the sums that were used."""
    many = np.iinfo(np.int64).max
    fewest = np.where(reporting > 0, reporting, many).min(axis=1)
    return np.where(fewest == many, 0, fewest)


def _count_on(state: TwinState, readings: TwinReadings) -> tuple[tuple[Array, ...], tuple[Counts, ...]]:
    last_values = tuple(one.copy() for one in state.last_values)
    lengths = tuple(one.copy() for one in state.run_lengths)
    for meters, last, length in zip(readings.meters, last_values, lengths, strict=True):
        run_lengths(meters, last, length)
    return last_values, lengths

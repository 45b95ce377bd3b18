"""The macro twin's steps as pure functions for the warm processes; importing this imports no numerical package."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Site
from digital_twin.macro_twin import OBSERVED, Metering, Plant
from digital_twin.macro_twin.structure import LOAD, PV, STORAGE_SOC

if TYPE_CHECKING:
    from digital_twin.macro_twin.calibration import TwinReadings
    from digital_twin.macro_twin.model import TwinModel
    from digital_twin.macro_twin.parts import Part
    from digital_twin.macro_twin.state import Track, TwinState

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TwinSetting:
    """What stands where in the community, and who meters it."""

    plant: Plant
    site: Site
    step_minutes: int
    metering: tuple[Metering, ...]


MAY_REST = ("pv_kw", "storage_soc_kwh")
"""A dark roof, and a storage that is empty or full, show one value for days."""

REMAINDERS = ("unmetered_demand_kw", "unmetered_pv_kw", "unmetered_storage_soc_kwh")
"""Parts of the state that are as uncertain as the whole."""

EXACT = 10.0
"""Times the error of a complete sum: an estimate with less had all of it."""


@dataclass(frozen=True, slots=True, eq=False)
class TwinTask:
    """Readings to advance over, with a kept model or, without one, a calibration on these same readings; from a kept
    state or, without one, from before any reading."""

    setting: TwinSetting
    grid: TimeGrid
    own: Array  # (T, 4)
    meters: tuple[Array, ...]  # each (T, M)
    model: bytes | None = None
    state: bytes | None = None
    widening: tuple[float, ...] = (1.0,) * len(OBSERVED)
    """Of the deviations that are told, as late truth has taught."""

    temperature_c: Array | None = None  # (T,) outside, NaN where it is not known


@dataclass(frozen=True, slots=True, eq=False)
class TwinAnswer:
    """Where the task led."""

    model: bytes
    state: bytes
    checkpoints: tuple[tuple[datetime, bytes], ...]
    track: "Track"
    observed_at: datetime
    estimate: Array  # (4,)
    deviation: Array  # (4,)
    coverage: float
    nis: float | None
    reporting: int
    stuck: dict[str, list[str]]  # meters of each series that have stood still for a day
    parts: "dict[str, Part]"  # of the last interval
    stream_nis: Array  # (4,)
    stream_counts: Array  # (4,) readings behind each, at most a week's
    truth: Array  # (T, 4) the whole where readings tell it all, else NaN
    exact: Array  # (4,) deviation up to which an estimate is the truth


def estimate_state(task: TwinTask) -> TwinAnswer:
    """Advance over the readings, keeping the states of the UTC midnights on the way."""
    readings = _readings(task)
    return _widened(_advance(*_begun(task, readings), readings), np.array(task.widening))


def look_back(task: TwinTask, steps: int) -> "Track":
    """The first steps of the task, each estimated with the readings of all of them."""
    from digital_twin.macro_twin.hindsight import smoothed_track

    readings = _readings(task)
    model, state = _begun(task, readings)
    track = smoothed_track(state, model, readings.between(0, steps))
    return replace(track, deviation=track.deviation * np.array(task.widening))


def estimate_prior(task: TwinTask) -> TwinAnswer:
    """What is believed before any reading; the task's readings are not looked at."""
    from digital_twin.macro_twin.state import start_state

    model = _prior(task)
    nothing = replace(
        task, own=np.full(task.own.shape, np.nan), meters=(np.empty((task.grid.steps, 0)),) * len(OBSERVED)
    )
    return _advance(model, start_state(model, task.grid.start), _readings(nothing))


def _begun(task: TwinTask, readings: "TwinReadings") -> tuple["TwinModel", "TwinState"]:
    """The model and where it sets out: as they were kept, or learned from the readings."""
    from digital_twin.macro_twin.model import TwinModel
    from digital_twin.macro_twin.rehearsal import calibrate_rehearsed
    from digital_twin.macro_twin.state import TwinState, start_state

    if task.model is None:
        model = calibrate_rehearsed(_prior(task), task.setting.metering, readings)
    else:
        model = TwinModel.from_bytes(task.model)
    return model, start_state(model, task.grid.start) if task.state is None else TwinState.from_bytes(task.state)


def _advance(model: "TwinModel", state: "TwinState", readings: "TwinReadings") -> TwinAnswer:
    from digital_twin.macro_twin.coverage import METER_ERROR
    from digital_twin.macro_twin.parts import parts_of
    from digital_twin.macro_twin.state import Track, advance, stuck_meters

    checkpoints: list[tuple[datetime, bytes]] = []
    tracks: list[Track] = []
    days = _by_day(readings)
    for part in days:
        if _is_midnight(state.instant):
            checkpoints.append((state.instant, state.to_bytes()))
        advanced = advance(state, model, part)
        state = advanced.state
        tracks.append(advanced.track)
    whole = Track(*(np.concatenate([getattr(one, name) for one in tracks]) for name in Track.__slots__))
    exact = np.array([EXACT * METER_ERROR * group.scale for group in model.groups])
    stuck = {name: stuck_meters(state, model, index) for index, name in enumerate(OBSERVED) if name not in MAY_REST}
    return TwinAnswer(
        model=model.to_bytes(),
        state=state.to_bytes(),
        checkpoints=tuple(checkpoints),
        track=whole,
        observed_at=state.instant,
        estimate=state.estimate,
        deviation=state.deviation,
        coverage=state.coverage,
        nis=state.nis,
        reporting=state.reporting,
        stuck={name: meters for name, meters in stuck.items() if meters},
        parts=parts_of(state, model, days[-1]),
        stream_nis=state.memory.stream_nis,
        stream_counts=state.memory.stream_counts,
        truth=np.where(whole.deviation <= exact, _truth(model, readings), np.nan),  # a doubted reading is no truth
        exact=exact,
    )


def _widened(answer: TwinAnswer, widening: Array) -> TwinAnswer:
    """The answer with its deviations as they are told; what is kept of the state is not touched."""
    wider = {name: float(factor) for name, factor in zip(REMAINDERS, widening[[LOAD, PV, STORAGE_SOC]], strict=True)}
    parts = {
        name: replace(part, deviation=wider.get(name, 1.0) * part.deviation) for name, part in answer.parts.items()
    }
    track = replace(answer.track, deviation=answer.track.deviation * widening)
    return replace(answer, track=track, deviation=answer.deviation * widening, parts=parts)


def _truth(model: "TwinModel", readings: "TwinReadings") -> Array:
    from digital_twin.macro_twin.coverage import believed_own, known_whole
    from digital_twin.macro_twin.structure import slots_of

    slot, _ = slots_of(readings.grid, model.plant.timezone)
    hour = (slot * readings.grid.step_minutes // 60).astype(np.int64)
    wholes = zip(believed_own(readings.own, model.groups).T, readings.meters, model.groups, strict=True)
    return np.stack([known_whole(own, meters, hour, group) for own, meters, group in wholes], axis=1)


def _by_day(readings: "TwinReadings") -> list["TwinReadings"]:
    """The readings, cut at UTC midnights."""
    grid, parts = readings.grid, list["TwinReadings"]()
    begin = 0
    while begin < grid.steps:
        end = min(begin + _steps_to_midnight(grid, begin), grid.steps)
        parts.append(readings.between(begin, end))
        begin = end
    return parts


def _steps_to_midnight(grid: TimeGrid, index: int) -> int:
    passed = int(grid.instant(index).timestamp()) % 86_400
    return (86_400 - passed) // (60 * grid.step_minutes)


def _is_midnight(instant: datetime) -> bool:
    return not int(instant.timestamp()) % 86_400


def _readings(task: TwinTask) -> "TwinReadings":
    from digital_twin.macro_twin.calibration import TwinReadings

    sky = clear_sky(task.setting.site, task.grid)
    return TwinReadings(task.grid, task.own, task.meters, sky, task.temperature_c)


def clear_sky(site: Site, grid: TimeGrid) -> Array:
    """Output per kW under a cloudless sky, worked out by whole days so that a step has one value in every grid."""
    from digital_twin.forecasting.pv import default_orientation
    from digital_twin.forecasting.solar import rated_output

    first = datetime.fromtimestamp(int(grid.start.timestamp()) // 86_400 * 86_400, UTC)
    days = -(-(grid.end - first) // DAY)
    slots = 1440 // grid.step_minutes
    output = rated_output(site, TimeGrid(first, days * slots, grid.step_minutes), default_orientation(site), {})
    begin = round((grid.start - first) / grid.step)
    return output[begin : begin + grid.steps]


def _prior(task: TwinTask) -> "TwinModel":
    from digital_twin.domain.time import local_clock
    from digital_twin.forecasting.priors import standard_household_kw
    from digital_twin.macro_twin.model import prior_model

    plant, step_minutes = task.setting.plant, task.setting.step_minutes
    first = datetime.fromtimestamp(int(task.grid.start.timestamp()) // 86_400 * 86_400, UTC)
    week = TimeGrid(first, 7 * 1440 // step_minutes, step_minutes)
    expected_kw = plant.num_prosumers * standard_household_kw(local_clock(week, plant.timezone))
    return prior_model(plant, week, expected_kw)


def warm_up(zone: str = "UTC") -> None:
    """Learn from some days and advance once, so that the first caller does not wait for the compilation."""
    estimate_state(_some_days(zone))


def compile_hindsight(zone: str = "UTC") -> None:
    """Look back once, for the same reason."""
    task = _some_days(zone)
    look_back(task, task.grid.steps)


def _some_days(zone: str) -> TwinTask:
    grid = TimeGrid(datetime(2026, 6, 1, tzinfo=UTC), 96, 60)  # long enough to learn how demand departs from habits
    plant, site = Plant(2, 1.0, 1.0, 1.0, 0.95, 0.95, zone), Site(48.2, 16.4, zone, 2, 1.0, None)
    metering = (Metering(("a", "b")), Metering(), Metering(), Metering())
    meters = (1.0 + np.arange(192.0).reshape(96, 2) % 7, *(np.empty((96, 0)) for _ in range(3)))
    setting = TwinSetting(plant, site, 60, metering)
    return TwinTask(setting, grid, np.full((96, 4), np.nan), meters, temperature_c=np.full(96, 10.0))

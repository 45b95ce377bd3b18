"""Makes the weights that every community's LSTM begins with, from synthetic communities alone.

    nice .venv/bin/python -m benchmarks.lstm_base

Each community is some homes of one place, from one to all of them, with more or less of each device, workplaces, a need
for cooling, moods that last for days, generation, gaps and changes of level. What the weather does to it is foreseen
with an error, by some or not at all. No measured series is among them, so that none that forecasts are judged on is.
"""

import argparse
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from digital_twin.domain.public_holidays import holidays_of
from digital_twin.domain.time import LocalClock, TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting import History, Site, lstm_inputs, lstm_network, lstm_training
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.lstm_network import BASE
from digital_twin.forecasting.lstm_training import Teaching, fresh_weights, series_of, train
from digital_twin.simulation.homes import Habits
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import HomeSeries, Recipe, Shares, SyntheticCommunity

TARGET = Path(lstm_training.__file__).with_name(BASE)
HOMES, DAYS, A_PLACE = 200, 430, 40
TEACHING = Teaching(portions=1_200, learning_rate=3e-3, seed=1)
BACK = (1, 2, 3, 4, 5)
MANY = Shares(pv=0.6, battery=0.4, vehicle=0.5, heat_pump=0.7)
"""Enough of everything to choose from; a community takes as much of it as it draws."""


@dataclass(frozen=True, slots=True)
class Region:
    """A place with its habits, and the month of 2022 with which its series begin."""

    country: str
    place: Place
    habits: Habits
    month: int


REGIONS = (
    Region("AT", Place(48.2, 16.4, "Europe/Vienna"), Habits(), 1),
    Region("ES", Place(40.4, -3.7, "Europe/Madrid"), Habits(boiler=0.3, night_heating=0.05), 2),
    Region("FI", Place(60.2, 24.9, "Europe/Helsinki"), Habits(1.2, boiler=0.05, night_heating=0.15), 3),
    Region("US", Place(33.4, -112.0, "America/Phoenix"), Habits(1.5, boiler=0.0), 4),
    Region("AU", Place(-37.8, 145.0, "Australia/Melbourne"), Habits(boiler=0.2, night_heating=0.1), 5),
    Region("NL", Place(52.3, 4.9, "Europe/Amsterdam"), Habits(0.9, boiler=0.0), 6),
    Region("US", Place(41.0, -74.0, "America/New_York"), Habits(1.3, boiler=0.1), 7),
    Region("JP", Place(35.7, 139.7, "Asia/Tokyo"), Habits(boiler=0.3), 8),
    Region("IT", Place(41.9, 12.5, "Europe/Rome"), Habits(0.9, boiler=0.1), 9),
    Region("GB", Place(52.5, -1.5, "Europe/London"), Habits(boiler=0.1, night_heating=0.1), 10),
    Region("US", Place(37.0, -120.0, "America/Los_Angeles"), Habits(1.4, boiler=0.0), 11),
    Region("SE", Place(58.5, 16.0, "Europe/Stockholm"), Habits(1.1, boiler=0.2, night_heating=0.1), 12),
)


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What the communities of a place share."""

    grid: TimeGrid
    clock: LocalClock
    is_holiday: Array  # (T,)
    temperature_c: Array  # (T,)
    felt_c: Array  # (T,) temperature of the last day, the latest hours most
    ghi_wm2: Array  # (T,)
    wind_speed_ms: Array  # (T,)


def communities(region: Region, seed: int) -> Iterator[TrainingTask]:
    """Those of one place."""
    chance = np.random.default_rng(seed)
    grid = TimeGrid(datetime(2022, region.month, 1, tzinfo=UTC), 24 * DAYS, 60)
    made = SyntheticCommunity(Recipe(HOMES, region.place, grid, seed, MANY, region.habits))
    homes = np.stack([parts_of(home) for home in made.series()])
    around = surroundings(made, region)
    for _ in range(A_PLACE):
        yield task_of(chance, homes, around, region)


def parts_of(home: HomeSeries) -> Array:
    """Appliances, vehicle, heat pump and roof of a home."""  # (4, T)
    return np.stack([home.appliances_kw, home.vehicle_kw, home.heat_pump_kw, home.pv_kw]).astype(np.float32)


def surroundings(made: SyntheticCommunity, region: Region) -> Surroundings:
    """The sky and the calendar."""
    grid, sky = made.recipe.grid, made.sky
    clock = local_clock(grid, region.place.timezone)
    memory = np.exp(-np.arange(48) / 12)
    felt_c = np.convolve(sky.temperature_c, memory / memory.sum())[: grid.steps]
    is_holiday = holidays_of(region.country, clock.day)
    return Surroundings(grid, clock, is_holiday, sky.temperature_c, felt_c, sky.ghi_wm2, sky.wind_speed_ms)


def task_of(chance: np.random.Generator, homes: Array, around: Surroundings, region: Region) -> TrainingTask:
    """A community that is drawn, with what is foreseen of its weather."""
    count = min(int(np.exp(chance.uniform(0, np.log(len(homes) + 1)))), len(homes))
    parts = homes[chance.choice(len(homes), count, replace=False)].sum(axis=0, dtype=np.float64)
    load_kw = with_moods(chance, with_people(chance, with_devices(chance, parts), around), around)
    net_kw = less_generation(chance, load_kw, parts[3], around)
    country = region.country if chance.random() < 0.8 else None
    place = region.place
    site = Site(place.latitude, place.longitude, place.timezone, count, 0.0, country)
    history = History(around.grid, disturbed(chance, net_kw), foreseen(chance, around))
    return TrainingTask("net_load_kw", site, history, around.grid.end, BACK)


def with_devices(chance: np.random.Generator, parts: Array) -> Array:
    """Appliances, perhaps vehicles, perhaps heat pumps, more or less of each."""  # (T,)
    scale = np.exp(chance.normal(0, 0.4, 3))
    has = chance.random(3) < (1.0, 0.6, 0.5)
    return (scale * has) @ parts[:3]


def with_people(chance: np.random.Generator, load_kw: Array, around: Surroundings) -> Array:
    """Cooling, heating and workplaces that the homes do not have, and what holidays change."""
    mean_kw, clock = load_kw.mean(), around.clock
    if chance.random() < 0.5:
        rhythm = 0.4 + 0.6 * np.clip(np.sin((clock.hour - chance.uniform(7, 13)) / 24 * 2 * np.pi), 0, 1)
        too_warm = np.maximum(around.felt_c - chance.uniform(17, 24), 0)
        load_kw = load_kw + chance.uniform(0.02, 0.15) * mean_kw * too_warm * rhythm
    if chance.random() < 0.3:
        too_cold = np.maximum(chance.uniform(10, 16) - around.felt_c, 0)
        load_kw = load_kw + chance.uniform(0.01, 0.05) * mean_kw * too_cold
    is_working_day = (clock.weekday < 5) & ~around.is_holiday
    if chance.random() < 0.5:
        through_the_day = (clock.hour - chance.uniform(5, 8)) / chance.uniform(10, 14)
        bell = np.clip(1.4 * np.sin(np.pi * np.clip(through_the_day, 0, 1)), 0, 1)
        return load_kw + chance.uniform(0.05, 1.0) * mean_kw * (0.3 + is_working_day * bell)
    return load_kw * (1 + chance.uniform(-0.05, 0.25) * (around.is_holiday & (clock.weekday < 5)))


def with_moods(chance: np.random.Generator, load_kw: Array, around: Surroundings) -> Array:
    """Days, seasons and hours that are livelier than others for no reason."""
    day = around.clock.day - around.clock.day[0]
    days, steps = int(day[-1]) + 1, load_kw.size
    daily = wandering(chance, days, chance.uniform(1, 10), chance.uniform(0.01, 0.08))
    seasonal = wandering(chance, days, 90, chance.uniform(0, 0.1))
    hourly = wandering(chance, steps, chance.uniform(1, 8), chance.uniform(0, 0.05))
    return load_kw * np.exp((daily + seasonal)[day] + hourly)


def less_generation(chance: np.random.Generator, load_kw: Array, pv_kw: Array, around: Surroundings) -> Array:
    """Net of sun and wind, where there is any."""
    net_kw = load_kw
    if chance.random() < 0.45:
        net_kw = net_kw - chance.uniform(0.1, 1.2) * load_kw.mean() * pv_kw / max(pv_kw.mean(), 1e-9)
    if chance.random() < 0.12:
        speed = around.wind_speed_ms * np.exp(wandering(chance, load_kw.size, 6, 0.15)) * chance.uniform(1.2, 2.0)
        net_kw = net_kw - chance.uniform(0.1, 1.0) * load_kw.mean() * np.minimum((speed / 11) ** 3, 1)
    return net_kw


def disturbed(chance: np.random.Generator, series: Array) -> Array:
    """With a lasting change of level, or with gaps, or neither."""
    found = series.copy()
    if chance.random() < 0.2:
        found[chance.integers(60, DAYS - 50) * 24 :] *= np.exp(chance.normal(0, 0.2))
    if chance.random() < 0.2:
        for start in chance.integers(0, found.size - 200, chance.integers(1, 6)):
            found[start : start + chance.integers(3, 150)] = np.nan
    return found


def foreseen(chance: np.random.Generator, around: Surroundings) -> dict[str, Array]:
    """The weather as it is forecast: to half of the communities not at all, to some only the temperature."""
    steps, share = around.grid.steps, chance.random()
    if share < 0.5:
        return {}
    temperature_c = around.temperature_c + wandering(chance, steps, 12, chance.uniform(0.3, 1.5))
    if share < 0.7:
        return {"temperature_c": temperature_c}
    wind_speed_ms = around.wind_speed_ms + wandering(chance, steps, 12, chance.uniform(0.3, 1.0))
    ghi_wm2 = around.ghi_wm2 * np.exp(wandering(chance, steps, 4, chance.uniform(0.05, 0.3)))
    return {"temperature_c": temperature_c, "ghi_wm2": ghi_wm2, "wind_speed_ms": np.maximum(wind_speed_ms, 0)}


def wandering(chance: np.random.Generator, steps: int, memory: float, spread: float) -> Array:
    """A first-order autoregression around 0."""
    kept = np.exp(-1 / memory)
    shocks = chance.normal(0, spread * np.sqrt(1 - kept**2), steps)
    value = chance.normal(0, spread)
    for step, shock in enumerate(shocks):
        value = shocks[step] = kept * value + shock
    return shocks


def origin(seed: int, teaching: Teaching) -> str:
    """Where the weights come from, as JSON."""
    code = hashlib.sha256()
    for path in (__file__, lstm_inputs.__file__, lstm_network.__file__, lstm_training.__file__):
        code.update(Path(path).read_bytes())
    learned = f"{len(REGIONS) * A_PLACE} synthetic communities of up to {HOMES} homes over {DAYS} days"
    found = {"from": learned, "seed": seed, "portions": teaching.portions, "code_sha256": code.hexdigest()}
    return json.dumps(found | {"made_on": datetime.now(UTC).date().isoformat()}, sort_keys=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the weights that every community's LSTM begins with.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--portions", type=int, default=TEACHING.portions, help="of 1,024 windows each")
    parser.add_argument("--to", type=Path, default=TARGET)
    given = parser.parse_args()
    teaching = replace(TEACHING, portions=given.portions, seed=given.seed)
    tasks = [task for place, region in enumerate(REGIONS) for task in communities(region, 100 * given.seed + place)]
    weights = train(fresh_weights(given.seed), [series_of(task) for task in tasks], BACK, teaching)
    header = np.frombuffer(origin(given.seed, teaching).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, origin=header, **weights.to_arrays())
    given.to.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()

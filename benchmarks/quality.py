"""Suspicious readings: how often real meters raise a false alarm, and how many planted faults are found.

Alarms are counted on readings as they are, so that true faults of these meters count as false alarms, too. Faults are
planted in the homes that raise none: a value that stays, a value so many times the home's usual peak, days in watts.
Pulses are the same homes read by meters that count whole 0.1 or 1 kWh.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
import pandas as pd

from benchmarks.measure import Result, report, rounds_asked, significant
from benchmarks.real_series import DATA
from digital_twin.domain.stuck_meters import usual_peaks
from digital_twin.domain.suspicion import Reason, SuspectStretch, suspect_stretches
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array

COMMAND = "scripts/bench quality"
START = datetime(2018, 10, 29, tzinfo=UTC)
HOURS_PER_YEAR = 8766
FOUND = (Reason.STUCK, Reason.ZEROS, Reason.SPIKE, Reason.UNIT)

Plant = Callable[[Array, np.random.Generator], slice]
"""Spoils the readings of one meter in place and tells where."""


@dataclass(frozen=True, slots=True, eq=False)
class Meters:
    """Real meters of one kind and resolution, judged together."""

    name: str
    series: str
    step_minutes: int
    values: Array  # (M, T)

    @property
    def years(self) -> float:
        return float(np.isfinite(self.values).sum()) * self.step_minutes / 60 / HOURS_PER_YEAR

    def judged(self) -> list[SuspectStretch]:
        grid = TimeGrid(START, self.values.shape[1], self.step_minutes)
        return suspect_stretches(self.series, grid, self.values)

    def by_days(self, days: int) -> "Meters":
        """The same meters, so many days at a time, as if the rest were not known."""
        steps = days * 1440 // self.step_minutes
        whole = self.values[:, : self.values.shape[1] // steps * steps]
        return Meters(f"the same, {days} days at a time", self.series, self.step_minutes, whole.reshape(-1, steps))


def false_alarms(sets: Sequence[Meters]) -> Result:
    rows: list[list[str]] = []
    for meters in sets:
        counts = Counter(one.reason for one in meters.judged())
        alarms = [significant(counts[reason] / meters.years, 2) for reason in FOUND]
        rows.append([meters.name, significant(meters.years), *alarms])
    return Result("quality_alarms", ["alarms a meter-year", "meter-years", *FOUND], rows)


def recall(meters: Meters, draws: int) -> Result:
    """What is found of faults in homes that raise no alarm without them."""
    alarmed = {one.meter for one in meters.judged()}
    sound = np.delete(meters.values, sorted(alarmed), axis=0)
    faults: dict[str, tuple[Plant, tuple[Reason, ...]]] = {
        **{
            f"stuck for {hours} h": (partial(_stick, hours=hours), (Reason.STUCK, Reason.ZEROS))
            for hours in (12, 24, 72)
        },
        **{
            f"one value {times} x the usual peak": (partial(_spike, times=times), (Reason.SPIKE,))
            for times in (4, 10, 100)
        },
        **{f"days in watts: {days}": (partial(_slip, days=days), (Reason.UNIT,)) for days in (1, 3)},
    }
    rows: list[list[str]] = []
    for name, (plant, reasons) in faults.items():
        found = [_found(meters, sound, plant, reasons, np.random.default_rng(draw)) for draw in range(draws)]
        rows.append([name, f"{draws * len(sound)}", f"{np.mean(found):.1%}"])
    return Result("quality_recall", ["planted in sound homes", "faults", "found"], rows)


def _found(
    meters: Meters, sound: Array, plant: Plant, reasons: tuple[Reason, ...], generator: np.random.Generator
) -> float:
    """The share of homes whose fault is told where it is, one fault a home."""
    spoilt = sound.copy()
    planted = [plant(row, generator) for row in spoilt]
    judged = Meters(meters.name, meters.series, meters.step_minutes, spoilt).judged()
    found = {one.meter for one in judged if one.reason in reasons and _meet(one, planted[one.meter])}
    return len(found) / len(sound)


def _meet(stretch: SuspectStretch, place: slice) -> bool:
    return stretch.first < place.stop and place.start < stretch.end


def _stick(row: Array, generator: np.random.Generator, *, hours: int) -> slice:
    first = int(generator.integers(0, row.size - 4 * hours))
    row[first : first + 4 * hours] = row[first]
    return slice(first, first + 4 * hours)


def _spike(row: Array, generator: np.random.Generator, *, times: int) -> slice:
    place = int(generator.integers(1, row.size - 1))
    row[place] = times * usual_peaks(np.abs(row)[None])[0]
    return slice(place, place + 1)


def _slip(row: Array, generator: np.random.Generator, *, days: int) -> slice:
    first = 96 * int(generator.integers(0, row.size // 96 - days))
    row[first : first + 96 * days] *= 1000
    return slice(first, first + 96 * days)


def _swiss_homes() -> Array:
    """537 homes over seven weeks, kW."""
    frame = pd.read_parquet(DATA / "ch_households537" / "meters_15min_wide.parquet").set_index("time_local")
    return 4 * frame.to_numpy(dtype=np.float64).T


def _pulses(values_kw: Array, size_kwh: float) -> Array:
    """What a meter that counts whole pulses tells of these."""
    counted = np.floor(np.cumsum(np.maximum(values_kw, 0) / 4, axis=1) / size_kwh) * size_kwh
    return 4 * np.diff(counted, axis=1, prepend=0)


def _others() -> list[Meters]:
    """Homes, roofs and feeders of the other sets."""
    city = pd.read_parquet(DATA / "citylearn2022" / "meters.parquet")
    load, roofs = (city.pivot(index="time", columns="building", values=f"{name}_kwh") for name in ("load", "pv"))
    home = pd.read_parquet(DATA / "emhass_home" / "home_30min.parquet")
    roof = pd.read_parquet(DATA / "pvdaq_system50" / "ac_power_15min.parquet")
    feeders = pd.read_parquet(DATA / "openstef_grid" / "feeders_15min.parquet").pivot(
        index="time_utc", columns="pid", values="load"
    )
    stations = pd.read_parquet(DATA / "openstef_grid" / "substations_15min.parquet").pivot(
        index="time_utc", columns="station", values="total_substation"
    )

    return [
        Meters("17 homes in California", "load_kw", 60, load.to_numpy().T),
        Meters("their roofs", "pv_kw", 60, roofs.to_numpy().T),
        Meters("one home (EMHASS)", "load_kw", 30, home.load_w.to_numpy()[None] / 1e3),
        Meters("a roof in Colorado", "pv_kw", 15, np.maximum(roof.ac_power_w.to_numpy()[None], 0) / 1e3),
        Meters("4 feeders in the Netherlands", "net_load_kw", 15, 1e3 * feeders.to_numpy().T),
        Meters("10 substations there", "net_load_kw", 15, 1e3 * stations.to_numpy().T),
    ]


def main() -> None:
    draws = rounds_asked((__doc__ or "").splitlines()[0], 3)
    if not DATA.is_dir():
        print("quality: skipped, the real series are not there")
        return
    homes = _swiss_homes()
    everyone = Meters("537 Swiss homes, 49 days", "net_load_kw", 15, homes)
    halves = [
        Meters(f"{name} half of them", "net_load_kw", 15, homes[first::2])
        for first, name in enumerate(("one", "the other"))
    ]
    pulses = [Meters(f"in pulses of {size} kWh", "load_kw", 15, _pulses(homes, size)) for size in (0.1, 1.0)]
    report(false_alarms([everyone, *halves, everyone.by_days(7), everyone.by_days(1), *pulses, *_others()]), COMMAND)
    report(recall(everyone, draws), COMMAND)


if __name__ == "__main__":
    main()

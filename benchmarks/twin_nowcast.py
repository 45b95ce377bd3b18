"""The macro twin's nowcast: the load of a whole community while some of its meters are silent.

Ours learns anew each week from nine weeks of what was shown, as the service does, and says at the end of each interval
what all use. Beside it stand four ways to fill in who is silent, none of which looks ahead; they know complete history
up to the test, ours only what was shown. The floor is ours with everything learned from complete readings of the test
itself: how much better one could be who knew the meters' habits of these very weeks.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Result, report, significant
from benchmarks.real_series import DATA
from benchmarks.twin_data import COMMUNITIES, SILENCES, Imputers, MeteredCommunity, with_outliers
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.priors import standard_household_kw
from digital_twin.macro_twin import OBSERVED, Metering, Plant
from digital_twin.macro_twin.calibration import TwinReadings, calibrate
from digital_twin.macro_twin.consistency import SURE, StreamRecord, with_truth
from digital_twin.macro_twin.model import TwinModel, prior_model
from digital_twin.macro_twin.state import advance, start_state
from digital_twin.macro_twin.structure import LOAD, slots_of

MASKS = 10
WINDOW_DAYS, RENEWED_DAYS = 63, 7
CASES = (
    *(("at random", missing) for missing in (0.3, 0.6, 0.9)),
    *(("for days", missing) for missing in (0.3, 0.6, 0.9)),
    ("always the same", 0.8),
)
OUTLIERS = (0.0, 0.3, 0.6)
QUARTERS = 4

Steps = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Nowcast:
    """What was said of each step of a part."""

    mean: Array  # (T,)
    deviation: Array  # (T,)
    nis: Array  # (T,) running mean


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A community in which some are silent over a part that follows on complete history."""

    community: MeteredCommunity
    part: slice
    slot: Steps
    weekend: Steps

    @classmethod
    def of(cls, community: MeteredCommunity, part: slice) -> "Case":
        slot, weekend = slots_of(community.grid, community.timezone)
        return cls(community, part, slot.astype(np.int64), weekend.astype(np.int64))

    @property
    def kind(self) -> Steps:
        return self.slot + self.community.a_day * self.weekend

    @property
    def truth(self) -> Array:
        whole: Array = self.community.load_kw[self.part].sum(axis=1)
        return whole

    def shown(self, silence: str, missing: float, seed: int) -> Array:
        """All readings, without those of the part that are silent."""
        readings = self.community.load_kw.copy()
        of_part = readings[self.part]
        reports = SILENCES[silence](seed, of_part.shape, missing, self.community.a_day) if missing else True
        readings[self.part] = np.where(reports, of_part, np.nan)
        return readings

    def nowcast(self, shown: Array) -> Nowcast:
        """Ours, week by week."""
        parts = [self._week(shown, begin) for begin in range(self.part.start, self.part.stop, self._days(RENEWED_DAYS))]
        return Nowcast(*(np.concatenate([getattr(one, name) for one in parts]) for name in Nowcast.__slots__))

    def _week(self, shown: Array, begin: int) -> Nowcast:
        first, end = max(0, begin - self._days(WINDOW_DAYS)), min(begin + self._days(RENEWED_DAYS), self.part.stop)
        model = self._learned(shown, first, begin)
        start = start_state(model, self.community.grid.instant(first))
        track = advance(start, model, self._readings(shown, first, end)).track
        week = slice(begin - first, None)
        return Nowcast(track.mean[week, LOAD], track.deviation[week, LOAD], track.nis[week])

    def _learned(self, shown: Array, first: int, end: int) -> TwinModel:
        community, homes = self.community, shown.shape[1]
        plant = Plant(homes, 0.0, 0.0, 0.0, 0.95, 0.95, community.timezone)
        step_minutes = community.grid.step_minutes
        week = TimeGrid(community.grid.instant(first), self._days(7), step_minutes)
        expected_kw = homes * standard_household_kw(local_clock(week, plant.timezone))
        prior = prior_model(plant, week, expected_kw)
        ids = tuple(f"home_{number}" for number in range(homes))
        metering = (Metering(ids), *[Metering()] * (len(OBSERVED) - 1))
        return calibrate(prior, metering, self._readings(shown, first, end))

    def _readings(self, shown: Array, first: int, end: int) -> TwinReadings:
        steps = end - first
        grid = TimeGrid(self.community.grid.instant(first), steps, self.community.grid.step_minutes)
        nobody = [np.empty((steps, 0))] * (len(OBSERVED) - 1)
        own = np.full((steps, len(OBSERVED)), np.nan)
        return TwinReadings(grid, own, (np.ascontiguousarray(shown[first:end]), *nobody), np.zeros(steps))

    def _days(self, number: int) -> int:
        return number * self.community.a_day

    def peers(self, shown: Array) -> dict[str, Array]:
        """The four imputations."""
        history = slice(0, self.part.start)
        knows = Imputers.learned(self.community.load_kw[history], self.kind[history], self.slot[history])
        return knows.all(shown[self.part], self.kind[self.part], self.slot[self.part])

    def floor(self, shown: Array) -> Array:
        """Ours with everything learned from complete readings of the part itself."""
        begin, end = self.part.start, self.part.stop
        first = max(0, begin - self._days(RENEWED_DAYS))
        model = self._learned(self.community.load_kw, begin, end)
        start = start_state(model, self.community.grid.instant(first))
        track = advance(start, model, self._readings(shown, first, end)).track
        return track.mean[begin - first :, LOAD]


def widened_late(mean: Array, deviation: Array, truth: Array, a_day: int) -> Array:
    """Deviations as they are told where the truth of each day is known a day after it."""
    told, record = deviation.copy(), StreamRecord()
    for begin in range(0, told.size, a_day):
        if begin >= 2 * a_day:
            known = slice(begin - 2 * a_day, begin - a_day)
            errors = ((truth[known] - mean[known]) / told[known]) ** 2
            record = with_truth(record, errors, week_steps=7.0 * a_day)
        told[begin : begin + a_day] *= record.widening
    return told


def rms(error: Array) -> float:
    return float(np.sqrt(np.mean(error**2)))


def nowcast_rows(case: Case, masks: int) -> Iterator[list[str]]:
    truth, name = case.truth, case.community.name
    for silence, missing in CASES:
        errors: dict[str, list[float]] = {}
        held, held_late, surprise = [], [], []
        for seed in range(masks):
            shown = case.shown(silence, missing, seed)
            ours = case.nowcast(shown)
            for way, found in {**case.peers(shown), "floor": case.floor(shown), "ours": ours.mean}.items():
                errors.setdefault(way, []).append(rms(found - truth))
            late = widened_late(ours.mean, ours.deviation, truth, case.community.a_day)
            for told, found in ((ours.deviation, held), (late, held_late)):
                is_held = np.abs(ours.mean - truth) < SURE * told
                found.append([np.mean(one) for one in np.array_split(is_held, QUARTERS)])
            surprise.append(np.nanmean(ours.nis))
        mean = {way: float(np.mean(found)) for way, found in errors.items()}
        ours_error, floor_error = mean.pop("ours"), mean.pop("floor")
        best = min(mean, key=lambda way: mean[way])
        yield [
            f"{name}: {missing:.0%} silent {silence}",
            f"{significant(100 * ours_error / truth.mean())} %",
            significant(ours_error / mean[best]),
            best,
            significant(floor_error / mean[best]),
            in_quarters(100 * np.mean(held, axis=0)),
            in_quarters(100 * np.mean(held_late, axis=0)),
            significant(float(np.mean(surprise))),
        ]


def in_quarters(held: Array) -> str:
    return f"{held.mean():.1f} ({held.min():.0f} to {held.max():.0f})"


def outlier_rows(case: Case, masks: int) -> Iterator[list[str]]:
    """By how many points of the mean load one wrong reading in a hundred worsens the error."""
    truth = case.truth
    for missing in OUTLIERS:
        clean, spoilt = [], []
        for seed in range(masks):
            shown = case.shown("at random", missing, seed)
            wrong = shown.copy()
            wrong[case.part] = with_outliers(seed, shown[case.part])
            clean.append(rms(case.nowcast(shown).mean - truth) if missing else 0.0)
            spoilt.append(rms(case.nowcast(wrong).mean - truth))
        points = 100 * (np.mean(spoilt) - np.mean(clean)) / truth.mean()
        yield [f"{case.community.name}: {missing:.0%} silent at random", f"{points:+.2f} points"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--masks", type=int, default=MASKS, help="draws of who is silent")
    parser.add_argument("--part", choices=("develop", "test"), default="test", help="what is judged")
    asked = parser.parse_args()
    rows: list[list[str]] = []
    spoilt: list[list[str]] = []
    for folder, make in COMMUNITIES.items():
        if not (DATA / folder).is_dir():
            print(f"{folder}: skipped, the data are not there")
            continue
        community = make()
        case = Case.of(community, getattr(community, asked.part))
        rows += nowcast_rows(case, asked.masks)
        spoilt += outlier_rows(case, max(1, asked.masks // 4))
    columns = (
        "who is silent",
        "error / mean",
        "error / best peer",
        "that peer",
        "floor / peer",
        "95 % held",
        "with late truth",
        "NIS",
    )
    command = "scripts/bench twin"
    if asked.part != "test":
        print(Result("twin_nowcast", columns, rows, []), *spoilt, sep="\n")
        return
    held = "95 % held: part of all intervals within the band, and in the quarters of the test"
    notes = [f"Means over {asked.masks} draws. {held}; with late truth: where that of each day is known a day later."]
    report(Result("twin_nowcast", columns, rows, notes), command)
    report(Result("twin_outliers", ("one reading in a hundred is wrong", "error"), spoilt, []), command)


if __name__ == "__main__":
    main()

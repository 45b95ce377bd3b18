"""Several models as one: weighted by what each lost lately, and shifted until the intervals hold.

What members are worth is told by days that they did not learn from: each is fitted without the last weeks, asked at
every midnight of these, then fitted anew on everything. From then on every day that has passed is added to these,
without fitting again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.units import Array
from digital_twin.forecasting.boosting import boosting
from digital_twin.forecasting.conformal import Calibration, calibrate, day_parts
from digital_twin.forecasting.forecast import ForecastTask, Prediction, least_of
from digital_twin.forecasting.forecaster import Arrays, FittedForecaster, Forecaster, TrainingTask, ask, first_steps
from digital_twin.forecasting.local_days import Indices, cells_of
from digital_twin.forecasting.lstm import lstm
from digital_twin.forecasting.naive import seasonal_naive
from digital_twin.forecasting.past_days import WholeDays, actual_days, ask_days, whole_days
from digital_twin.forecasting.prophet import prophet
from digital_twin.forecasting.regression import ridge
from digital_twin.forecasting.weights import GROUPS, combine, learn_weights

LEVELS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995)
"""What members are asked for; other levels lie between these, and none beyond."""

MOST_PAST_DAYS, FEWEST_PAST_DAYS = 56, 7
PAST_SHARE = 3
"""At most one in so many days is held out, fewer where a member would otherwise have too few to learn from."""

LEAST_ANSWERED = 0.5
"""Of the days held out a member must have answered this share."""

_MEDIAN = LEVELS.index(0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What members said of past days, beside what happened."""

    day: Indices  # (D,) days since 1970-01-01, local
    actual: Array  # (D, S)
    members: np.ndarray[Any, np.dtype[np.float32]]  # (M, D, S, Q) NaN where a member could not say

    def then(self, later: "Past") -> "Past":
        """The latest days of both."""
        kept = slice(-MOST_PAST_DAYS, None)
        return Past(
            np.concatenate([self.day, later.day])[kept],
            np.concatenate([self.actual, later.actual])[kept],
            np.concatenate([self.members, later.members], axis=1)[:, kept],
        )


@dataclass(frozen=True, slots=True, eq=False)
class FittedEnsemble:
    """The fitted members, what they are worth, and what their average lacks."""

    members: Mapping[str, FittedForecaster]
    past: Past
    learned_until: int
    """The first local day of which no member has learned anything."""

    weights: Array  # (P, G, M) by part of the day, group of levels and member
    calibration: Calibration
    left_out: tuple[str, ...]
    judged_days: int
    """So many days the weights and the calibration were learned from."""

    def suits(self, task: ForecastTask) -> bool:
        return all(member.suits(task) for member in self.members.values())

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        """The members' average, shifted.

        Raises:
            InsufficientData: no member can answer.
        """
        answers, notes = self.ask(task)
        slots = cells_of(task.grid, task.site.timezone).slot
        weights = _only(self.weights, [list(self.members).index(name) for name in answers])
        part = day_parts(1440 // task.grid.step_minutes)[slots]
        quantiles = combine(np.stack([one.quantiles for one in answers.values()]), weights, part, LEVELS)
        shifted = self.calibration.apply(quantiles, slots, LEVELS)
        of_row = weights[part, GROUPS.index("middle")]  # (T, M)
        mean = np.einsum("mt,tm->t", np.stack([one.mean for one in answers.values()]), of_row)
        mean = mean + shifted[:, _MEDIAN] - np.sort(quantiles, axis=1)[:, _MEDIAN]
        least = least_of(task.variable)
        said = (*self.left_out, *notes, self._worth())
        return Prediction(np.maximum(mean, least), np.maximum(shifted @ _between_levels(levels), least), said)

    def ask(self, task: ForecastTask) -> tuple[dict[str, Prediction], list[str]]:
        """What each member says at LEVELS, and why others say nothing.

        Raises:
            InsufficientData: none says anything.
        """
        answers: dict[str, Prediction] = {}
        notes: list[str] = []
        for name, member in self.members.items():
            try:
                if member.suits(task):
                    answers[name] = ask(member, task, LEVELS)
                else:
                    notes.append(f"{name} was left out: it was not fitted for this forecast")
            except InsufficientData as error:
                notes.append(f"{name} was left out: {error}")
        if not answers:
            raise InsufficientData(f"no member of the ensemble can answer; {'; '.join(notes)}")
        return answers, notes

    def update(self, task: TrainingTask) -> "FittedEnsemble":
        """With what the days since have taught about members and intervals; the members stay as they are."""
        since = max(self.learned_until, int(self.past.day[-1]) + 1)
        days = whole_days(task.history.grid, task.site.timezone).since(since).latest(MOST_PAST_DAYS)
        if not days.day.size:
            return self
        asked = [ask_days(member, task, days, LEVELS) for member in self.members.values()]
        past = self.past.then(_past(task, days, asked))
        return _learned(self.members, past, self.learned_until, self.left_out)

    def lesson(self) -> Arrays:
        return {
            "weights": self.weights,
            **self.calibration.to_arrays(),
            "judged_days": np.array(self.judged_days),
        }

    def after(self, lesson: Arrays) -> "FittedEnsemble":
        days = int(lesson["judged_days"])
        calibration = Calibration.from_arrays(lesson)
        return replace(self, weights=lesson["weights"], calibration=calibration, judged_days=days)

    def to_arrays(self) -> Arrays:
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "day": self.past.day,
            "actual": self.past.actual,
            "members": self.past.members,
            "learned_until": np.array(self.learned_until),
            "left_out": np.frombuffer("\n".join(self.left_out).encode(), dtype=np.uint8),
            **self.lesson(),
        }
        for place, (name, member) in enumerate(self.members.items()):
            arrays[f"member/{name}"] = np.array(place)
            arrays |= {f"member/{name}/{key}": value for key, value in member.to_arrays().items()}
        return arrays

    def _worth(self) -> str:
        shares = self.weights.mean(axis=(0, 1))
        listed = ", ".join(f"{name} {100 * share:.0f} %" for name, share in zip(self.members, shares, strict=True))
        return f"weighted by loss over the last {self.judged_days} days: {listed}"


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The models to be weighted, by name."""

    members: Mapping[str, Forecaster]

    @property
    def needed_days(self) -> float:
        """Enough for most members to learn and be judged."""
        needed = sorted(one.needed_days for one in self.members.values())
        return FEWEST_PAST_DAYS + max(FEWEST_PAST_DAYS, needed[len(needed) // 2])

    def fit(self, task: TrainingTask) -> FittedEnsemble:
        """Fit every member twice: for judging it, and for use.

        Raises:
            InsufficientData: no member has enough to learn from and be judged on.
        """
        held_out = self._held_out(task)
        first = int(held_out.first[0])
        known = first_steps(task.history, first)
        earlier = TrainingTask(task.variable, task.site, known, known.grid.end, task.back)
        fitted: dict[str, FittedForecaster] = {}
        asked: list[Array] = []
        left_out: list[str] = []
        for name, member in self.members.items():
            try:
                answers = ask_days(member.fit(earlier), task, held_out, LEVELS)
                if np.isfinite(answers).any(axis=(1, 2)).mean() < LEAST_ANSWERED:
                    left_out.append(f"{name} was left out: it could not be asked on most of the last days")
                    continue
                fitted[name] = member.fit(task)
                asked.append(answers)
            except Exception as error:  # whatever breaks one of them, the others go on
                left_out.append(f"{name} was left out: {error}")
        if not fitted:
            raise InsufficientData(f"no member of the ensemble can learn; {'; '.join(left_out)}")
        cells = cells_of(task.history.grid, task.site.timezone)
        learned_until = int(cells.day[-1]) + 1
        return _learned(fitted, _past(task, held_out, asked), learned_until, tuple(left_out))

    def from_arrays(self, arrays: Arrays) -> FittedEnsemble:
        names = sorted((key for key in arrays if key.count("/") == 1), key=lambda key: int(arrays[key]))
        members: dict[str, FittedForecaster] = {}
        for key in names:
            own = {name.removeprefix(f"{key}/"): one for name, one in arrays.items() if name.startswith(f"{key}/")}
            name = key.removeprefix("member/")
            members[name] = self.members[name].from_arrays(own)
        text = arrays["left_out"].tobytes().decode()
        return FittedEnsemble(
            members,
            Past(arrays["day"], arrays["actual"], arrays["members"]),
            int(arrays["learned_until"]),
            arrays["weights"],
            Calibration.from_arrays(arrays),
            tuple(text.split("\n")) if text else (),
            arrays["day"].size,
        )

    def _held_out(self, task: TrainingTask) -> WholeDays:
        days = whole_days(task.history.grid, task.site.timezone)
        if days.day.size < self.needed_days:
            raise InsufficientData(
                f"an ensemble needs {self.needed_days:g} whole days of readings to learn from and be judged on, "
                f"found {days.day.size}",
                needed=self.needed_days,
                found=days.day.size,
            )
        could = [int(np.ceil(one.needed_days)) for one in self.members.values()]
        spared = [days.day.size - needed for needed in could if days.day.size - needed >= FEWEST_PAST_DAYS]
        held_out = max(FEWEST_PAST_DAYS, min(MOST_PAST_DAYS, days.day.size // PAST_SHARE, *spared))
        return days.latest(held_out)


def _past(task: TrainingTask, days: WholeDays, asked: Sequence[Array]) -> Past:
    return Past(days.day, actual_days(task, days), np.stack(asked).astype(np.float32))


def _learned(
    members: Mapping[str, FittedForecaster], past: Past, learned_until: int, left_out: tuple[str, ...]
) -> FittedEnsemble:
    """What follows from the past: the weights, and what the average by them lacked."""
    said = past.members.astype(np.float64)
    weights = learn_weights(past.actual, said, LEVELS)
    average = np.sort(combine(said, weights, day_parts(past.actual.shape[1]), LEVELS), axis=2)
    calibration = calibrate(past.actual, average, LEVELS)
    return FittedEnsemble(members, past, learned_until, weights, calibration, left_out, past.day.size)


def _only(weights: Array, members: list[int]) -> Array:
    """The weights of these members alone, adding up to one again."""
    chosen = weights[:, :, members]
    return chosen / chosen.sum(axis=2, keepdims=True)


def _between_levels(levels: tuple[float, ...]) -> Array:
    """By what the quantiles at LEVELS are to be multiplied for those at others, linear in normal scores."""  # (Q, L)
    normal = NormalDist()
    own, wanted = ([normal.inv_cdf(level) for level in some] for some in (LEVELS, levels))
    return np.array([np.interp(wanted, own, one) for one in np.eye(len(LEVELS))])


ensemble = Ensemble(
    {"ridge": ridge, "boosting": boosting, "lstm": lstm, "prophet": prophet, "seasonal_naive": seasonal_naive}
)

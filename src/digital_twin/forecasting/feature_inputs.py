"""From histories and tasks to the tables that features are made of."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.public_holidays import holidays_of
from digital_twin.domain.units import Array
from digital_twin.forecasting.features import MONTH, WEEK, FeatureDesign, FeatureInputs, usual_of_slots
from digital_twin.forecasting.forecast import ForecastTask, History, Site
from digital_twin.forecasting.forecaster import last_days
from digital_twin.forecasting.local_days import Flags, Indices, Reach, cells_of, reaches, tabulate, to_local_days

NEEDED_DAYS = 21.0
"""To tell weekdays apart from chance."""

MOST_MISSING_WEATHER = 0.02
RECENT_DAYS = MONTH + WEEK
"""A month before the day before the last known one, and some more."""


def enough_history(history: History | None, model: str, needed_days: float = NEEDED_DAYS) -> History:
    """The history itself. Raises InsufficientData where it is too short for a model to learn from or to answer by."""
    if history is None or history.days < needed_days:
        found = 0.0 if history is None else history.days
        raise InsufficientData(
            f"{model} needs {needed_days:g} days of readings, found {found:.1f}", needed=needed_days, found=found
        )
    return history


def known_weather(history: History) -> frozenset[str]:
    """The weather that a history tells (almost) throughout."""
    weather = history.weather.items()
    return frozenset(name for name, one in weather if float(np.isnan(one).mean()) <= MOST_MISSING_WEATHER)


def foreseen_weather(task: ForecastTask) -> frozenset[str]:
    """The weather that is forecast for every target."""
    weather = (task.future_weather or {}).items()
    return frozenset(name for name, one in weather if bool(np.isfinite(one).all()))


def inputs_of(history: History, site: Site, weather: frozenset[str]) -> FeatureInputs:
    """The whole history, with that weather."""
    local = to_local_days(history.values, history.grid, site.timezone, until_day=0)
    tables = {
        name: to_local_days(history.weather[name], history.grid, site.timezone, until_day=0).table
        for name in sorted(weather)
    }
    filled = {name: np.where(np.isnan(one), usual_of_slots(one), one) for name, one in tables.items()}
    return _with_calendar(local.table, local.first_day, site, filled)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What a task asks, in the tables that features of its targets are made of."""

    inputs: FeatureInputs  # of the days that these reach back to, until that of the last target
    first: int
    """The row of the first target."""

    row: Indices  # (T,) of each target, from `first` on
    slot: Indices  # (T,)
    reaches: list[tuple[Reach, Flags]]


def question_of(task: ForecastTask, history: History, design: FeatureDesign) -> Question:
    """The task in tables, with the weather that the design knows."""
    recent = last_days(history, RECENT_DAYS)
    targets, known = cells_of(task.grid, task.site.timezone), cells_of(recent.grid, task.site.timezone)
    first_day = int(known.day[0])
    days = int(targets.day.max()) - first_day + 1
    weather: dict[str, Array] = {}
    for name, usual in design.usual_weather.items():
        table = tabulate((task.future_weather or {})[name], targets, first_day, days)
        if name in recent.weather:
            past = tabulate(recent.weather[name], known, first_day, days)
            table = np.where(np.isfinite(table), table, past)
        weather[name] = np.where(np.isfinite(table), table, usual)
    inputs = _with_calendar(tabulate(recent.values, known, first_day, days), first_day, task.site, weather)
    first = int(targets.day.min()) - first_day
    asked = reaches(targets, (int(known.day[-1]), int(known.slot[-1])))
    return Question(inputs, first, targets.day - first_day - first, targets.slot, asked)


def reaches_asked(task: ForecastTask, history: History) -> set[Reach]:
    """Those of the task's targets."""
    known = cells_of(last_days(history, 1).grid, task.site.timezone)
    targets = cells_of(task.grid, task.site.timezone)
    return {reach for reach, _ in reaches(targets, (int(known.day[-1]), int(known.slot[-1])))}


def _with_calendar(table: Array, first_day: int, site: Site, weather: Mapping[str, Array]) -> FeatureInputs:
    days = first_day + np.arange(table.shape[0])
    dates = days.astype("datetime64[D]")
    return FeatureInputs(
        day=days,
        table=table,
        weekday=(days + 3) % 7,
        holiday=holidays_of(site.country, days),
        day_of_year=(dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1,
        weather=weather,
    )

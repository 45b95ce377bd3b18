"""Load weeks ahead, where no weather forecast reaches: past years' temperatures through what load does in them.

Every course of temperature gives a course of load (`response.py`); around each stand the residuals of past days of the
season, less what the level of the weeks before had told of them. Without temperature the residuals alone stand around
what calendar and season expect, and past years' weather is in them.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.readings import TEMPERATURE
from digital_twin.domain.units import Array
from digital_twin.forecasting.feature_inputs import enough_history, known_weather
from digital_twin.forecasting.forecast import ForecastTask, History, Prediction, Site
from digital_twin.forecasting.forecaster import Arrays, TrainingTask
from digital_twin.forecasting.local_days import Indices, cells_of, to_local_days
from digital_twin.forecasting.past_years import YEAR_DAYS, temperature_courses, widening
from digital_twin.forecasting.response import Response, calendar_of, felt_temperatures, fit_response, slot_features

NEEDED_DAYS = 365.0
WARM_UP_DAYS = 28
LEVEL_HALF_LIFE_DAYS = 14.0
LEVEL_DAYS = 120
WEEK, LEAD_WEEKS = 7, 8
SEASON_DAYS = 35
RESIDUAL_POINTS = 25
ALONE_POINTS = 199


@dataclass(frozen=True, slots=True, eq=False)
class FittedScenarios:
    """What was learned of a load in the course of at least a year."""

    response: Response
    lasting: Array  # (LEAD_WEEKS,) the share of the recent level that is left so many weeks later
    residuals: Array  # (R, S) NaN where unknown
    first_residual_day: int
    step_minutes: int

    @property
    def uses_temperature(self) -> bool:
        return self.response.knots_c.size > 0

    def suits(self, task: ForecastTask) -> bool:
        """Whether the task's history tells what was learned from: load of a year, and temperature where that counts."""
        history = task.history
        if history is None or history.grid.step_minutes != self.step_minutes or history.days < NEEDED_DAYS:
            return False
        return TEMPERATURE in known_weather(history) or not self.uses_temperature

    def predict(self, task: ForecastTask, levels: tuple[float, ...]) -> Prediction:
        """The mean and the quantiles of all courses of temperature together with all residuals."""
        history = enough_history(task.history, "scenarios", NEEDED_DAYS)
        table, first_day, temperature_c = _tables(history, task.site, self.uses_temperature)
        targets = cells_of(task.grid, task.site.timezone)
        last_day = first_day + table.shape[0] - 1
        days = np.arange(last_day + 1, max(int(targets.day.max()), last_day + 1) + 1)
        level = self._recent_level(table, first_day, temperature_c, task.site)
        mean = np.empty(task.grid.steps)
        quantiles = np.empty((task.grid.steps, len(levels)))
        loads = self._loads(table, first_day, temperature_c, days, task.site)
        for day in np.unique(targets.day).tolist():
            ahead = max(day - last_day - 1, 0)
            chosen = targets.day == day
            made = loads[:, ahead] + self.lasting[min(ahead // WEEK, LEAD_WEEKS - 1)] * level  # (K, S)
            around = self._around(day, RESIDUAL_POINTS if made.shape[0] > 1 else ALONE_POINTS)  # (R, S)
            together = (made[:, None] + around).reshape(-1, made.shape[1])
            slot = targets.slot[chosen]
            mean[chosen] = together.mean(axis=0)[slot]
            quantiles[chosen] = np.quantile(together, levels, axis=0).T[slot]
        return Prediction(mean, quantiles)

    def to_arrays(self) -> Arrays:
        """All of it, to be kept."""
        response = self.response
        return {
            "center": response.center,
            "scale": response.scale,
            "coefficients": response.coefficients,
            "knots_c": response.knots_c,
            "lasting": self.lasting,
            "residuals": self.residuals,
            "numbers": np.array([self.first_residual_day, self.step_minutes]),
        }

    def _loads(self, table: Array, first_day: int, temperature_c: Array | None, days: Indices, site: Site) -> Array:
        """The load of every course on days that follow the table."""  # (K, N, S)
        calendar = calendar_of(days, site.country)
        slots = range(table.shape[1])
        if temperature_c is None:
            features = slot_features(calendar, None, self.response.knots_c)
            return np.stack([self.response.of_slot(slot, features) for slot in slots], axis=-1)[None]
        courses = temperature_courses(temperature_c, first_day, days)
        warm = np.broadcast_to(temperature_c[-WARM_UP_DAYS:], (courses.shape[0], WARM_UP_DAYS, table.shape[1]))
        felt_c = felt_temperatures(np.concatenate([warm, courses], axis=1))[:, WARM_UP_DAYS:]
        loads = np.empty(courses.shape)
        for slot in slots:
            features = slot_features(calendar, felt_c[:, :, slot], self.response.knots_c)
            loads[:, :, slot] = self.response.of_slot(slot, features)
        return loads

    def _recent_level(self, table: Array, first_day: int, temperature_c: Array | None, site: Site) -> Array:
        """By how much the last weeks lay above what calendar and temperature explain."""  # (S,)
        recent = table[-LEVEL_DAYS:]
        calendar = calendar_of(first_day + table.shape[0] - recent.shape[0] + np.arange(recent.shape[0]), site.country)
        felt_c = None
        if temperature_c is not None:
            felt_c = felt_temperatures(temperature_c[-LEVEL_DAYS - WARM_UP_DAYS :])[-recent.shape[0] :]
        explained = [
            self.response.of_slot(
                slot, slot_features(calendar, None if felt_c is None else felt_c[:, slot], self.response.knots_c)
            )
            for slot in range(table.shape[1])
        ]
        return running_level(recent - np.stack(explained, axis=1))[-1]

    def _around(self, day: int, points: int) -> Array:
        """Equally likely residuals of each slot at this time of the year."""  # (points, S)
        days = self.first_residual_day + np.arange(self.residuals.shape[0])
        apart = np.abs((days - day + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2)
        near = self.residuals[apart <= SEASON_DAYS]
        probabilities = (np.arange(points) + 0.5) / points
        seen = np.isfinite(near).any(axis=0)
        around = np.zeros((points, near.shape[1]))
        around[:, seen] = np.nanquantile(near[:, seen], probabilities, axis=0)
        return around * widening(days.size)


class Scenarios:
    """Scenarios of past years' temperatures for horizons of weeks."""

    needed_days = NEEDED_DAYS

    def fit(self, task: TrainingTask) -> FittedScenarios:
        """Learn what load does by calendar and, where the history tells it, by temperature.

        Raises:
            InsufficientData: less than a year of readings.
        """
        history = enough_history(task.history, "scenarios", NEEDED_DAYS)
        table, first_day, temperature_c = _tables(history, task.site, TEMPERATURE in known_weather(history))
        felt_c = None if temperature_c is None else felt_temperatures(temperature_c)
        begins = int(np.isfinite(table).any(axis=1).argmax())
        table, first_day = table[begins:], first_day + begins
        calendar = calendar_of(first_day + np.arange(table.shape[0]), task.site.country)
        response, residuals = fit_response(table, calendar, None if felt_c is None else felt_c[begins:])
        lasting, left = _without_level(residuals)
        return FittedScenarios(
            response, lasting, left, first_day + residuals.shape[0] - left.shape[0], history.grid.step_minutes
        )

    def from_arrays(self, arrays: Arrays) -> FittedScenarios:
        """What was kept, again."""
        response = Response(*(arrays[name] for name in ("center", "scale", "coefficients", "knots_c")))
        first_day, step_minutes = arrays["numbers"].tolist()
        return FittedScenarios(response, arrays["lasting"], arrays["residuals"], first_day, step_minutes)


scenarios = Scenarios()


def running_level(residuals: Array) -> Array:
    """The level after each day: half of the slot's own mean, half of the mean of all, recent days counting more.

    Args:
        residuals: NaN where unknown.  # (D, S)
    """  # -> (D, S)
    from scipy.signal import lfilter

    kept = 0.5 ** (1 / LEVEL_HALF_LIFE_DAYS)
    known = np.isfinite(residuals)
    total = np.asarray(lfilter([1.0], [1.0, -kept], np.where(known, residuals, 0.0), axis=0))
    count = np.asarray(lfilter([1.0], [1.0, -kept], known.astype(np.float64), axis=0))
    # as if a day without any residual had come before
    own = total / (count + 1)
    return (own + own.mean(axis=1, keepdims=True)) / 2


def _without_level(residuals: Array) -> tuple[Array, Array]:
    """How much of the level used to last for so many weeks, and what it left unexplained a fortnight later."""
    level = running_level(residuals)
    lasting = np.zeros(LEAD_WEEKS)
    daily, before = np.nan_to_num(residuals).mean(axis=1), level.mean(axis=1)
    for week in range(LEAD_WEEKS):
        lead = WEEK * week + WEEK // 2 + 1
        square = float(before[:-lead] @ before[:-lead])
        lasting[week] = before[:-lead] @ daily[lead:] / max(square, 1e-12)
    lasting = np.minimum.accumulate(np.clip(lasting, 0.0, 1.0))
    fortnight = 2 * WEEK
    return lasting, residuals[fortnight:] - lasting[1] * level[:-fortnight]


def _tables(history: History, site: Site, with_temperature: bool) -> tuple[Array, int, Array | None]:
    """Load and temperature by whole local days, and the first of these; gaps of the temperature filled in between."""
    local = to_local_days(history.values, history.grid, site.timezone, until_day=0)
    whole = local.table.shape[0] - (local.last_known[1] < local.table.shape[1] - 1)
    if not with_temperature:
        return local.table[:whole], local.first_day, None
    course = to_local_days(history.weather[TEMPERATURE], history.grid, site.timezone, until_day=0).table[:whole]
    known = np.flatnonzero(np.isfinite(course))
    filled = np.interp(np.arange(course.size), known, course.ravel()[known])
    return local.table[:whole], local.first_day, filled.reshape(course.shape)

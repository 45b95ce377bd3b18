"""A forecast of the hours to come, given what the day's first forecast has missed so far."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from tests.builders import MONDAY

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.dependence import FADING_HOURS, TYPICAL, Dependence, normal_scores
from digital_twin.forecasting.forecast import Forecast
from digital_twin.forecasting.intraday import JUDGED_HOURS, PRIOR_TRUST, REACH_HOURS, DaySoFar, lead_on

LEVELS = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.995)
FINE = tuple(np.arange(1, 400) / 400)
NOON = 12


def fading(hours: float) -> Dependence:
    """Errors of load and of generation that fade at one speed."""
    return Dependence(np.eye(2) * (np.array(FADING_HOURS) == hours)[:, None, None])


def day(scores: list[float], earlier: Array | None = None, *, minutes: int = 60) -> DaySoFar:
    steps = 1440 // minutes
    whole = np.full(steps, np.nan)
    whole[: len(scores)] = scores
    return DaySoFar(MONDAY, minutes, whole, np.empty((0, steps)) if earlier is None else earlier)


def forecast(
    hour: float = NOON,
    *,
    steps: int = 12,
    mean: float = 100.0,
    deviation: float = 10.0,
    levels: tuple[float, ...] = FINE,
    minutes: int = 60,
    variable: str = "load_kw",
) -> Forecast:
    grid = TimeGrid(MONDAY + timedelta(hours=hour), steps, minutes)
    quantiles = np.tile(mean + deviation * ndtri(levels), (steps, 1))
    return Forecast(variable, grid, grid.start, np.full(steps, mean), levels, quantiles, "x")


def simulated_days(dependence: Dependence, count: int, seed: int) -> Array:
    """Scores of whole days of hours, drawn from their covariance matrix."""
    times = np.arange(24.0)
    covariance = dependence.between(times[:, None] - times[None, :])[..., 0, 0]
    return np.random.default_rng(seed).multivariate_normal(np.zeros(24), covariance, count)


def sure(dependence: Dependence) -> Array:
    """Earlier days on which errors persisted just as told: so many that they are believed."""
    return simulated_days(dependence, 4_000, seed=11)


def test_normal_errors_that_fade_at_one_speed_are_led_on_as_by_hand() -> None:
    dependence = fading(12.0)
    led = lead_on(forecast(), day([0.0] * 11 + [1.5], sure(dependence)), dependence)
    ahead = np.arange(12) + 1.0
    left = np.exp(-ahead / 12)  # such errors have no memory but the last one
    inner = slice(40, 359)
    np.testing.assert_allclose(led.quantiles[:, FINE.index(0.5)], 100 + 15 * left, atol=0.8)
    expected = 100 + 15 * left[:, None] + 10 * np.sqrt(1 - left**2)[:, None] * ndtri(FINE)[None, inner]
    np.testing.assert_allclose(led.quantiles[:, inner], expected, atol=1.0)
    np.testing.assert_allclose(led.mean, 100 + 15 * left, atol=1.0)


def test_led_on_forecasts_hold_what_they_promise_and_are_sharper() -> None:
    days = simulated_days(TYPICAL, 1_500, seed=3)
    usual = forecast(levels=LEVELS)
    actual = 100 + 10 * days[:, NOON:]
    earlier = simulated_days(TYPICAL, 60, seed=4)
    told = [lead_on(usual, day(one[:NOON].tolist(), earlier), TYPICAL).quantiles for one in days]
    low, high = LEVELS.index(0.05), LEVELS.index(0.95)
    inside = np.mean([(a >= q[:, low]) & (a <= q[:, high]) for a, q in zip(actual, told, strict=True)], axis=0)
    np.testing.assert_allclose(inside, 0.9, atol=0.03)
    width = np.mean([q[:, high] - q[:, low] for q in told], axis=0) / (2 * 10 * ndtri(0.95))
    assert width[0] < 0.85
    assert (np.diff(width) > 0).all()
    assert width[-1] > 0.97


def test_what_never_came_true_on_earlier_days_is_not_believed() -> None:
    unrelated = np.random.default_rng(5).standard_normal((4_000, 24))
    usual = forecast(levels=LEVELS)
    led = lead_on(usual, day([2.0] * NOON, unrelated), TYPICAL)
    np.testing.assert_allclose(led.quantiles, usual.quantiles, atol=1.5)
    believed = lead_on(usual, day([2.0] * NOON, simulated_days(TYPICAL, 400, seed=6)), TYPICAL)
    assert believed.mean[0] > usual.mean[0] + 8
    opposite = simulated_days(TYPICAL, 400, seed=6)
    opposite[:, NOON:] *= -1
    unmoved = lead_on(usual, day([2.0] * NOON, opposite), TYPICAL)
    np.testing.assert_allclose(unmoved.quantiles, usual.quantiles, rtol=1e-12)


def test_without_earlier_days_half_is_believed() -> None:
    usual = forecast(levels=FINE)
    whole = lead_on(usual, day([1.0] * NOON, sure(TYPICAL)), TYPICAL)
    half = lead_on(usual, day([1.0] * NOON), TYPICAL)
    middle = FINE.index(0.5)
    shift = (half.quantiles - usual.quantiles)[:6, middle] / (whole.quantiles - usual.quantiles)[:6, middle]
    np.testing.assert_allclose(shift, PRIOR_TRUST, atol=0.03)
    assert half.assumptions == ("of what load_kw was off since the day began 50 % is taken to persist",)


def test_nothing_known_of_the_day_changes_nothing() -> None:
    usual = forecast()
    assert lead_on(usual, day([np.nan] * 5, sure(TYPICAL)), TYPICAL) is usual


def test_beyond_its_reach_and_before_now_a_forecast_stays() -> None:
    usual = forecast(6, steps=42, levels=LEVELS)
    led = lead_on(usual, day([2.0] * 8), TYPICAL)  # known until 08:00
    changed = (led.quantiles != usual.quantiles).any(axis=1)
    assert changed.tolist() == [False] * 2 + [True] * int(REACH_HOURS) + [False] * 28


def test_a_silent_hour_lets_errors_fade() -> None:
    usual = forecast(levels=LEVELS)
    late = lead_on(usual, day([1.0] * 9), TYPICAL)
    fresh = lead_on(usual, day([1.0] * NOON), TYPICAL)
    assert 100 < late.mean[0] < fresh.mean[0]


def test_quarter_hours_and_hours_are_led_on_alike() -> None:
    slow = fading(48.0)
    hours = lead_on(forecast(levels=LEVELS), day([1.0] * NOON), slow)
    quarters = lead_on(forecast(levels=LEVELS, steps=48, minutes=15), day([1.0] * (4 * NOON), minutes=15), slow)
    np.testing.assert_allclose(quarters.mean.reshape(12, 4).mean(axis=1), hours.mean, atol=0.3)


def test_generation_fades_as_generation_does_and_dark_hours_stay_dark() -> None:
    night = np.zeros((12, len(LEVELS)))
    usual = forecast(levels=LEVELS, variable="pv_kw")
    dark = replace(
        usual, quantiles=np.concatenate([usual.quantiles[:8], night[8:]]), mean=np.r_[usual.mean[:8], night[8:, 0]]
    )
    own = Dependence(np.stack([np.diag(pair) for pair in ((0.0, 1.0), (0.0, 0.0), (0.0, 0.0), (1.0, 0.0))]))
    led = lead_on(dark, day([2.0] * NOON), own)
    np.testing.assert_allclose(led.quantiles, dark.quantiles, atol=1e-9)  # what one hour shares with no other
    lasting = lead_on(dark, day([2.0] * NOON), TYPICAL)
    assert (lasting.mean[:8] > dark.mean[:8]).all()
    assert not lasting.quantiles[8:].any()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    known=st.integers(1, 24),
    hour=st.floats(0, 30),
    minutes=st.sampled_from([15, 30, 60]),
    variable=st.sampled_from(["load_kw", "pv_kw", "net_load_kw"]),
    missing=st.floats(0, 1),
)
def test_whatever_is_known_quantiles_stay_in_order_and_finite(
    seed: int, known: int, hour: float, minutes: int, variable: str, missing: float
) -> None:
    chance = np.random.default_rng(seed)
    scores = chance.normal(0, 2, known)
    scores[chance.random(known) < missing] = np.nan
    earlier = chance.normal(size=(20, 24))
    earlier[chance.random(earlier.shape) < missing] = np.nan
    start = int(hour * 60) // minutes * minutes / 60
    usual = forecast(start, steps=20, minutes=minutes, mean=5, levels=LEVELS, variable=variable)
    if variable != "net_load_kw":
        usual = replace(usual, quantiles=np.maximum(usual.quantiles, 0))
    led = lead_on(usual, day(scores.tolist(), earlier), TYPICAL)  # a Forecast refuses what crosses or is not finite
    assert variable == "net_load_kw" or led.quantiles.min() >= 0


def test_an_earlier_day_teaches_by_its_hours_after_now_alone() -> None:
    earlier = simulated_days(TYPICAL, 30, seed=8)
    beyond = earlier.copy()
    beyond[:, NOON + int(JUDGED_HOURS) :] = 99.0
    one, other = (lead_on(forecast(), day([1.0] * NOON, past), TYPICAL) for past in (earlier, beyond))
    np.testing.assert_array_equal(one.quantiles, other.quantiles)


def test_scores_of_a_forecast_that_was_right_move_nothing() -> None:
    usual = forecast(0, steps=24, levels=LEVELS)
    scores = normal_scores(usual.quantiles[:, LEVELS.index(0.5)], usual.quantiles, LEVELS)
    led = lead_on(forecast(levels=LEVELS), day(scores[:NOON].tolist(), sure(TYPICAL)), TYPICAL)
    np.testing.assert_allclose(led.mean, 100, atol=1e-9)
    assert led.quantiles[0, -1] < forecast(levels=LEVELS).quantiles[0, -1]

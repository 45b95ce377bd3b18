"""A panel of meters: what those that report say of all, against sums, simulations and a joint filter of everything."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digital_twin.domain.units import Array
from digital_twin.macro_twin.panel import Driver, Indices, Panel, PanelMemory, Whole
from digital_twin.macro_twin.panel_filter import believed, follow
from digital_twin.macro_twin.panel_learning import Learned, PanelHistory, learn_panel
from digital_twin.macro_twin.textbook import textbook_predict, textbook_update

SLOTS, HOMES = 24, 12
FIRST_DAY = 20_454


def made_panel(homes: int = HOMES, *, slow_variance: float = 1.0, metered_share: float = 1.0) -> Panel:
    """Homes of different sizes with a driver that keeps its scale through the day."""
    size = np.linspace(0.5, 2, homes)
    flat = np.ones((SLOTS, 1))
    return Panel(
        ids=tuple(f"home_{number}" for number in range(homes)),
        metered_share=metered_share,
        profile=np.concatenate([flat, flat]) * size,
        share=flat * size / size.sum(),
        spread=flat * 0.5 * size,
        parts=np.array([[0.5], [0.2], [0.3]]) * np.ones(homes),
        fast_decay=np.full(homes, 0.6),
        lasting_decay=0.99,
        driver=Driver(np.full(SLOTS, 2.0), 0.8, 0.995, 0.5, slow_variance),
        unmetered_variance=np.zeros(SLOTS),
        limits=np.array([[-100.0], [100.0]]) * np.ones(homes),
    )


def drawn(panel: Panel, days: int, seed: int) -> Array:
    """Readings of all meters that are as the panel says."""  # (T, M)
    rng, steps, driver = np.random.default_rng(seed), days * SLOTS, panel.driver
    a = process(rng, steps, driver.fast_decay, driver.fast_variance)
    b = process(rng, steps, driver.slow_decay, driver.slow_variance)
    own = [
        np.column_stack([process(rng, steps, decay, part[i]) for i in range(len(panel.ids))])
        for decay, part in zip((panel.fast_decay[0], panel.lasting_decay, 0.0), panel.parts, strict=True)
    ]
    slot = np.arange(steps) % SLOTS
    moved = panel.share[slot] * (driver.scale[slot] * (a + b))[:, None]
    return panel.profile[slot] + moved + panel.spread[slot] * np.sum(own, axis=0)


def process(rng: np.random.Generator, steps: int, decay: float, variance: float) -> Array:
    """Of first order, at its long-run variance from the first step on."""
    shocks = rng.standard_normal(steps) * np.sqrt(variance * (1 - decay**2))
    shocks[0] = rng.standard_normal() * np.sqrt(variance)
    values = np.empty(steps)
    values[0] = shocks[0]
    for step in range(1, steps):
        values[step] = decay * values[step - 1] + shocks[step]
    return values


def followed(panel: Panel, readings: Array, memory: PanelMemory | None = None, first: int = 0) -> Whole:
    kind, step = times(len(readings), first)
    return follow(panel, PanelMemory.at_rest(panel) if memory is None else memory, readings, kind, step)


def times(steps: int, first: int = 0) -> tuple[Indices, Indices]:
    """Of workdays alone: kinds and numbers of the steps."""
    number = np.arange(first, first + steps)
    return number % SLOTS, FIRST_DAY * SLOTS + number


def learned(readings: Array, **changes: object) -> Learned:
    steps, homes = readings.shape
    history = PanelHistory(
        ids=tuple(f"home_{number}" for number in range(homes)),
        readings=readings,
        whole=np.full(steps, np.nan),
        slot=np.arange(steps) % SLOTS,
        is_weekend=np.zeros(steps, dtype=np.int64),
        step_minutes=60,
        metered_share=1.0,
        typical=float(homes),
        is_signed=False,
    )
    return learn_panel(replace(history, **changes))  # type: ignore[arg-type]


def silenced(readings: Array, missing: float, seed: int) -> Array:
    return np.where(np.random.default_rng(seed).random(readings.shape) < missing, np.nan, readings)


def test_with_every_meter_the_whole_is_their_sum() -> None:
    panel = made_panel()
    readings = drawn(panel, 5, seed=1)
    whole = followed(panel, readings)
    np.testing.assert_allclose(whole.mean, readings.sum(axis=1))
    assert whole.variance.max() < 1e-12
    np.testing.assert_allclose(whole.share, 1.0)


@pytest.mark.parametrize("missing", [0.3, 0.7, 0.9])
def test_errors_are_as_large_as_the_panel_says(missing: float) -> None:
    panel = made_panel()
    surprises = []
    for seed in range(8):
        readings = drawn(panel, 30, seed)
        whole = followed(panel, silenced(readings, missing, seed))
        surprises.append((whole.mean - readings.sum(axis=1)) / np.sqrt(whole.variance + 1e-12))
    settled = np.stack(surprises)[:, 2 * SLOTS :]
    assert 0.93 < np.mean(np.abs(settled) < 1.96) < 0.97


@pytest.mark.parametrize("always_the_same", [False, True])
def test_it_is_nearly_as_good_as_a_joint_filter_of_all_meters(always_the_same: bool) -> None:
    panel, ours, joint = made_panel(6), 0.0, 0.0
    for seed in range(4):
        readings = drawn(panel, 20, seed)
        silent = np.arange(6) >= 3 if always_the_same else np.random.default_rng(seed).random(readings.shape) < 0.5
        shown = np.where(silent, np.nan, readings)
        truth = readings.sum(axis=1)
        ours += float(np.mean((followed(panel, shown).mean - truth) ** 2))
        joint += float(np.mean((jointly(panel, shown) - truth) ** 2))
    assert ours < 1.1 * joint


def jointly(panel: Panel, shown: Array) -> Array:
    """The whole by a Kalman filter over both drivers and all own parts, meter by meter."""
    homes, driver = len(panel.ids), panel.driver
    decay = np.concatenate(
        [[driver.fast_decay, driver.slow_decay], *np.outer([panel.fast_decay[0], panel.lasting_decay], np.ones(homes))]
    )
    variance = np.concatenate([[driver.fast_variance, driver.slow_variance], panel.parts[0], panel.parts[1]])
    mean, covariance = np.zeros(decay.size), np.diag(variance)
    found = np.empty(len(shown))
    for step, row in enumerate(shown):
        slot = step % SLOTS
        mean, covariance = textbook_predict(mean, covariance, np.diag(decay), np.diag((1 - decay**2) * variance))
        moved, spread = panel.share[slot] * driver.scale[slot], np.diag(panel.spread[slot])
        design = np.column_stack([moved, moved, spread, spread])
        news = panel.spread[slot] ** 2 * panel.parts[2]
        is_there = np.isfinite(row)
        if is_there.any():
            told = (row - panel.profile[slot])[is_there]
            mean, covariance = textbook_update(mean, covariance, design[is_there], told, np.diag(news[is_there]))
        found[step] = np.where(is_there, row, panel.profile[slot] + design @ mean).sum()
    return found


def test_what_all_reporting_meters_use_more_the_silent_ones_use_more_too() -> None:
    panel = made_panel(60, slow_variance=4.0)
    usual = panel.profile[np.arange(20 * SLOTS) % SLOTS]
    readings = usual * np.where(np.arange(20 * SLOTS) < 5 * SLOTS, 1.0, 1.4)[:, None]
    shown = readings.copy()
    shown[:, ::3] = np.nan
    whole = followed(panel, shown)
    error = whole.mean[-SLOTS:] / readings[-SLOTS:].sum(axis=1) - 1
    assert np.abs(error).max() < 0.02


@settings(max_examples=30)
@given(cut=st.integers(1, 95), missing=st.floats(0, 1), seed=st.integers(0, 100))
def test_in_one_stretch_or_two_it_is_the_same_to_the_bit(cut: int, missing: float, seed: int) -> None:
    panel = made_panel()
    shown = silenced(drawn(panel, 4, seed), missing, seed)
    memory = PanelMemory.at_rest(panel)
    parts = [followed(panel, shown[:cut], memory), followed(panel, shown[cut:], memory, first=cut)]
    whole = followed(panel, shown)
    for name in ("mean", "variance", "lasting", "share", "surprise"):
        np.testing.assert_array_equal(np.concatenate([getattr(one, name) for one in parts]), getattr(whole, name))


@settings(max_examples=30)
@given(meter=st.integers(0, HOMES - 1), missing=st.floats(0.1, 0.9), seed=st.integers(0, 100))
def test_one_more_meter_makes_nothing_less_certain(meter: int, missing: float, seed: int) -> None:
    panel = made_panel()
    readings = drawn(panel, 3, seed)
    shown = silenced(readings, missing, seed)
    shown[-1, meter] = np.nan
    with_it = shown.copy()
    with_it[-1, meter] = readings[-1, meter]
    before, after = followed(panel, shown), followed(panel, with_it)
    assert after.variance[-1] <= before.variance[-1] * (1 + 0.25)  # an erratic one tells little, and may surprise
    assert after.share[-1] > before.share[-1]


@settings(max_examples=20)
@given(factor=st.sampled_from([1e-3, 7.0, 1e3]), missing=st.floats(0, 0.9), seed=st.integers(0, 20))
def test_units_do_not_matter(factor: float, missing: float, seed: int) -> None:
    shown = silenced(drawn(made_panel(), 10, seed), missing, seed)
    one = learned(shown)
    other = learned(factor * shown, typical=factor * HOMES)
    first, second = followed(one.panel, shown), followed(other.panel, factor * shown)
    np.testing.assert_allclose(second.mean, factor * first.mean, rtol=1e-6)
    np.testing.assert_allclose(second.variance, factor**2 * first.variance, rtol=1e-5, atol=1e-9 * factor**2)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_very_first_readings_are_learned_from(steps: int) -> None:
    readings = np.full((steps, 2), 1.5)
    whole = followed(learned(readings).panel, readings)
    np.testing.assert_allclose(whole.mean, 3.0)


@settings(max_examples=30)
@given(
    homes=st.integers(1, 6),
    days=st.integers(1, 4),
    missing=st.floats(0, 1),
    size=st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
    seed=st.integers(0, 100),
)
def test_whatever_meters_show_the_whole_is_a_number_with_an_error(
    homes: int, days: int, missing: float, size: float, seed: int
) -> None:
    readings = silenced(size * np.random.default_rng(seed).gamma(0.5, 1, (days * SLOTS, homes)), missing, seed)
    one = learned(readings)
    whole = followed(one.panel, readings)
    assert np.isfinite(whole.mean).all()
    assert np.isfinite(whole.variance).all()
    assert (whole.variance >= 0).all()


@pytest.mark.parametrize("missing", [0.3, 0.6])
def test_what_is_learned_from_readings_with_gaps_serves_nearly_as_well_as_the_truth(missing: float) -> None:
    drawn_from, of_truth, of_learned = made_panel(40), 0.0, 0.0
    true = replace(drawn_from, profile=4 * drawn_from.profile)  # far above nothing, as sums of Gaussians go below it
    for seed in range(3):
        readings = drawn(true, 42, seed)
        shown = silenced(readings, missing, seed)
        panel = learned(shown[: 35 * SLOTS]).panel
        truth, last = readings.sum(axis=1), slice(35 * SLOTS, None)
        of_truth += float(np.mean((followed(true, shown).mean - truth)[last] ** 2))
        of_learned += float(np.mean((followed(panel, shown).mean - truth)[last] ** 2))
    assert of_learned < 1.15 * of_truth


def test_a_wrong_reading_comes_singly_and_a_new_level_comes_to_stay() -> None:
    shown = np.array([[1.0], [50.0], [2.0], [18.0], [19.0], [2.0], [20.0], [5000.0], [-1.0], [0.0], [0.0]])
    kept = believed(shown, np.array([[0.5], [10.0]]))
    expected = [True, False, True, False, True, True, False, False, False, True, True]
    np.testing.assert_array_equal(np.isfinite(kept[:, 0]), expected)
    both_ways = believed(shown, np.array([[-2.0], [10.0]]))
    assert both_ways[8, 0] == -1.0


@pytest.mark.parametrize(("times_held", "repeats"), [(1.5, 1), (2.5, 2), (5.0, 3), (9.0, 4)])
def test_the_farther_beyond_what_was_ever_held_the_more_repetitions_are_asked_for(
    times_held: float, repeats: int
) -> None:
    jumped = np.array([1.0, *[10.0 * times_held] * 6])[:, None]
    kept = believed(jumped, np.array([[0.5], [10.0]]))
    assert np.isnan(kept[1:, 0]).sum() == repeats
    np.testing.assert_array_equal(kept[1 + repeats :], jumped[1 + repeats :])
    with_gaps = np.repeat(jumped, 2, axis=0)
    with_gaps[1::2] = np.nan
    np.testing.assert_array_equal(believed(with_gaps, np.array([[0.5], [10.0]]))[::2], kept)
    torn = jumped.copy()
    torn[::2] = 1.0
    assert np.isnan(believed(torn, np.array([[0.5], [10.0]]))[1::2]).all()


def test_a_wrong_reading_is_no_repetition_of_a_new_level() -> None:
    shown = np.array([[1.0], [12.0], [90.0], [12.0], [13.0], [95.0], [14.0]])
    kept = believed(shown, np.array([[0.5], [10.0]]))
    np.testing.assert_array_equal(np.isfinite(kept[:, 0]), [True, False, False, True, True, False, True])


def test_a_level_that_came_to_stay_stays_over_a_wrong_reading() -> None:
    shown = np.array([[1.0], [18.0], [18.0], [0.0], [18.0]])
    kept = believed(shown, np.array([[0.5], [10.0]]))
    np.testing.assert_array_equal(np.isfinite(kept[:, 0]), [True, False, True, False, True])


def test_what_a_meter_never_showed_at_this_time_is_doubted_below_its_limits_too() -> None:
    panel = made_panel()
    readings = panel.profile[np.arange(3 * SLOTS) % SLOTS].copy()
    readings[-1, 0] = 60.0
    whole = followed(panel, readings)
    assert whole.reporting[-1] == HOMES - 1
    assert whole.mean[-1] == pytest.approx(readings[-2].sum(), rel=0.05)


def test_homes_without_a_meter_leave_an_error_and_follow_the_driver() -> None:
    panel = made_panel(metered_share=0.5)
    with_error = replace(panel, unmetered_variance=np.full(SLOTS, 4.0))
    readings = 1.5 * panel.profile[np.arange(10 * SLOTS) % SLOTS]
    whole = followed(with_error, readings)
    assert whole.variance.min() >= 4.0
    np.testing.assert_allclose(whole.share, 0.5)
    assert whole.mean[-1] == pytest.approx(2 * readings[-1].sum(), rel=0.1)

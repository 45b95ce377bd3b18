"""Patterns: invented homes are found for what they are, groups do not depend on order or scale, gaps never make NaN."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.domain.units import Array
from digital_twin.forecasting.pattern_days import LEAST_DAYS, Locality, pattern_days
from digital_twin.forecasting.pattern_detection import DEVICES, Weights, detect
from digital_twin.forecasting.pattern_features import cold_response, features_of
from digital_twin.forecasting.pattern_groups import group
from digital_twin.forecasting.patterns import (
    MeterPattern,
    PatternSeries,
    day_patterns,
    member_patterns,
    meter_pattern,
)
from digital_twin.simulation.heat_pumps import Heating
from digital_twin.simulation.homes import Habits
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import Recipe, Shares, SyntheticCommunity

VIENNA = Locality("Europe/Vienna", "AT")
START = datetime(2025, 1, 12, 23, tzinfo=UTC)  # a Monday's midnight in Vienna
DAYS = 42


def grid_of(step_minutes: int, days: int = DAYS) -> TimeGrid:
    return TimeGrid(START, days * 1440 // step_minutes, step_minutes)


def clock_hours(grid: TimeGrid) -> tuple[Array, Array]:
    """Local hour and whether it is a weekend."""
    clock = local_clock(grid, VIENNA.timezone)
    return clock.hour, (clock.weekday >= 5).astype(np.float64)


def evening(hour: Array, weekend: Array) -> Array:
    return np.asarray(0.3 + 1.5 * np.exp(-(((hour - 19) / 1.5) ** 2)), dtype=np.float64)


def office(hour: Array, weekend: Array) -> Array:
    return 0.3 + 2.0 * (1 - weekend) * ((hour >= 8) & (hour < 17))


def night(hour: Array, weekend: Array) -> Array:
    return 0.3 + 3.0 * (hour < 5)


def flat(hour: Array, weekend: Array) -> Array:
    return np.full(hour.shape, 0.8)


def solar(hour: Array, weekend: Array) -> Array:
    return 0.6 - 2.5 * np.exp(-(((hour - 12.5) / 2) ** 2))


KINDS: dict[str, Callable[[Array, Array], Array]] = {
    "evening peak": evening,
    "daytime office": office,
    "night heating": night,
    "flat base load": flat,
    "midday solar dip": solar,
}


def invented_homes(
    step_minutes: int = 60, of_each: int = 6, noise: float = 0.1
) -> tuple[list[PatternSeries], list[str]]:
    """Homes of each kind, larger and smaller."""
    generator = np.random.default_rng(3)
    grid = grid_of(step_minutes)
    hour, weekend = clock_hours(grid)
    homes, kinds = [], []
    for kind, shape in KINDS.items():
        for _ in range(of_each):
            load_kw = shape(hour, weekend) + noise * generator.standard_normal(hour.size)
            homes.append(PatternSeries(f"home{len(homes)}", grid, generator.uniform(0.5, 4.0) * load_kw))
            kinds.append(kind)
    return homes, kinds


def numbers_in(pattern: MeterPattern) -> list[float]:
    found = [pattern.mean_kw, pattern.base_share, pattern.peak_kw, *pattern.workday_kw, *pattern.day_off_kw]
    found += [device.probability for device in pattern.devices.values()]
    found += [share for device in pattern.devices.values() for _, share in device.because]
    return found + ([] if pattern.cold is None else list(asdict(pattern.cold).values()))


def test_invented_homes_fall_into_groups_of_their_kind_with_its_name() -> None:
    homes, kinds = invented_homes()
    found = member_patterns(homes, VIENNA)
    assert adjusted_rand_score(kinds, found.group_of) == 1.0
    assert [found.groups[number or 0].name for number in found.group_of] == kinds
    assert [one.shape for one in found.meters if one] == kinds
    assert sorted(one.count for one in found.groups) == [6] * len(KINDS)
    assert found.stability is not None
    assert found.stability > 0.95


def test_groups_depend_neither_on_the_order_of_homes_nor_on_their_size() -> None:
    homes, _ = invented_homes(noise=0.5)
    found = member_patterns(homes, VIENNA)
    order = np.random.default_rng(1).permutation(len(homes))
    scaled = [PatternSeries(homes[one].name, homes[one].grid, 4.0 * homes[one].values_kw) for one in order]
    again = member_patterns(scaled, VIENNA)
    assert [found.group_of[one] for one in order] == list(again.group_of)
    assert [one.name for one in found.groups] == [one.name for one in again.groups]
    assert again.silhouette == pytest.approx(found.silhouette)


def test_homes_that_are_all_alike_are_one_group() -> None:
    shapes = 1 + 0.2 * np.random.default_rng(5).standard_normal((40, 48))
    found = group(shapes)
    assert found.sizes.tolist() == [40]
    assert found.silhouette is None
    assert group(np.ones((9, 48))).sizes.tolist() == [9]


def test_the_number_of_groups_is_the_one_with_the_largest_silhouette() -> None:
    generator = np.random.default_rng(2)
    centres = 4 * generator.standard_normal((4, 48))
    truth = np.repeat(np.arange(4), 12)
    found = group(centres[truth] + 0.5 * generator.standard_normal((48, 48)))
    assert adjusted_rand_score(truth, found.label) == 1.0


@pytest.fixture(scope="module")
def winter_homes() -> SyntheticCommunity:
    recipe = Recipe(
        120,
        Place(48.2, 16.4, "Europe/Vienna"),
        grid_of(15),
        97,
        Shares(pv=0.4, battery=0.3, vehicle=0.3, heat_pump=0.4),
        Habits(),
        Heating(),
    )
    return SyntheticCommunity(recipe)


@pytest.mark.parametrize("step_minutes", [15, 60])
def test_what_homes_have_is_told_with_probabilities_that_hold(
    winter_homes: SyntheticCommunity, step_minutes: int
) -> None:
    grid = grid_of(step_minutes)
    coarser = step_minutes // 15
    warmth = winter_homes.sky.temperature_c.reshape(-1, coarser).mean(axis=1)
    told: dict[str, list[float]] = {device: [] for device in DEVICES}
    has: dict[str, list[bool]] = {device: [] for device in DEVICES}
    for home in winter_homes.series():
        net_kw = home.net_load_kw.reshape(-1, coarser).mean(axis=1)
        pattern = meter_pattern(pattern_days(net_kw, grid, VIENNA, warmth))
        for device, truth in zip(DEVICES, (home.home.heating, home.home.vehicle, home.home.roof), strict=True):
            told[device].append(pattern.devices[device].probability)
            has[device].append(truth is not None)
    for device, least in (("heat_pump", 0.9), ("ev", 0.95), ("pv", 0.95)):
        truth, probability = np.array(has[device]), np.array(told[device])
        assert roc_auc_score(truth, probability) > least, device
        brier = np.mean((probability - truth) ** 2)
        assert brier < 0.5 * truth.mean() * (1 - truth.mean()), device  # half of what their share alone leaves
        three_sigma = 3 * np.sqrt((probability * (1 - probability)).sum()) / len(truth)
        assert abs(probability.mean() - truth.mean()) < three_sigma + 0.06, device


def test_a_vehicle_that_charges_in_the_evening_is_told_from_a_home_without() -> None:
    grid = grid_of(15)
    hour, weekend = clock_hours(grid)
    load_kw = evening(hour, weekend) + 0.1 * np.random.default_rng(1).random(hour.size)
    every_third_day = (np.arange(grid.steps) // 96) % 3 == 0
    charged = load_kw + 11.0 * ((hour >= 20) & (hour < 23) & every_third_day)
    without, with_car = (
        meter_pattern(pattern_days(one, grid, VIENNA)).devices["ev"].probability for one in (load_kw, charged)
    )
    assert without < 0.1
    assert with_car > 0.9


def test_the_response_to_cold_is_the_one_that_the_home_was_made_with() -> None:
    grid = grid_of(60)
    generator = np.random.default_rng(4)
    warmth = np.repeat(generator.uniform(-8, 22, DAYS), 24)
    load_kw = 0.5 + 0.08 * np.maximum(15.0 - warmth, 0.0)
    found = cold_response(pattern_days(load_kw, grid, VIENNA, warmth))
    assert found is not None
    assert found.bend_c == 15.0
    assert found.kw_per_c == pytest.approx(0.08, abs=1e-6)
    assert found.share == pytest.approx(1.0, abs=1e-6)
    assert cold_response(pattern_days(load_kw, grid, VIENNA)) is None


def test_a_dull_cold_day_is_no_answer_to_cold_where_the_sun_explains_it() -> None:
    grid = grid_of(60)
    hour, weekend = clock_hours(grid)
    sunshine = np.random.default_rng(5).uniform(0, 1, DAYS)
    warmth = np.repeat(8 + 10 * sunshine, 24)  # dull days are the cold ones
    net_kw = evening(hour, weekend) - np.repeat(sunshine, 24) * np.exp(-(((hour - 12) / 2.5) ** 2))
    days = pattern_days(net_kw, grid, VIENNA, warmth)
    fooled, found = cold_response(days), cold_response(days, by_dark=True)
    assert fooled is not None
    assert found is not None
    assert fooled.share > 0.8
    assert fooled.kw_per_c > 0.005
    assert found.kw_per_c < 0.05 * fooled.kw_per_c


@pytest.mark.parametrize("step_minutes", [15, 60])
def test_heat_pumps_are_told_as_well_behind_pv_as_without(winter_homes: SyntheticCommunity, step_minutes: int) -> None:
    grid = grid_of(step_minutes)
    coarser = step_minutes // 15
    warmth = winter_homes.sky.temperature_c.reshape(-1, coarser).mean(axis=1)
    told: dict[str, list[tuple[bool, float]]] = {"without": [], "net": [], "used": []}
    for home in winter_homes.series():
        net, used = (
            pattern_days(one.reshape(-1, coarser).mean(axis=1), grid, VIENNA, warmth)
            for one in (home.net_load_kw, home.load_kw)
        )
        kinds = {"net": None, "used": used} if home.home.roof is not None else {"without": None}
        for kind, known in kinds.items():
            found = meter_pattern(net, known).devices["heat_pump"].probability
            told[kind].append((home.home.heating is not None, found))
    for kind, pairs in told.items():
        truth, probability = map(np.array, zip(*pairs, strict=True))
        assert roc_auc_score(truth, probability) > 0.95, kind
        assert (probability[~truth.astype(bool)] > 0.5).mean() < 0.15, kind  # of 27 to 45 homes


def test_what_is_used_is_looked_at_where_it_is_known_and_the_net_tells_the_pv() -> None:
    grid = grid_of(60)
    hour, weekend = clock_hours(grid)
    load_kw = evening(hour, weekend) + 0.1 * np.random.default_rng(1).random(hour.size)
    net_kw = load_kw - 4.0 * np.exp(-(((hour - 12.5) / 2.5) ** 2))
    alone, behind, known = member_patterns(
        [
            PatternSeries("load_kw", grid, load_kw),
            PatternSeries("net_load_kw", grid, net_kw),
            PatternSeries("net_load_kw", grid, net_kw, load_kw=load_kw),
        ],
        VIENNA,
    ).meters
    assert alone is not None
    assert behind is not None
    assert known is not None
    assert known.devices["pv"] == behind.devices["pv"] != alone.devices["pv"]
    for device in ("heat_pump", "ev"):
        assert known.devices[device] == alone.devices[device] != behind.devices[device]
    assert known.mean_kw == behind.mean_kw, "the pattern itself is what the meter shows"
    unknown = PatternSeries("net_load_kw", grid, net_kw, load_kw=np.full(grid.steps, np.nan))
    assert member_patterns([unknown], VIENNA).meters[0] is not None


def test_a_probability_is_the_logistic_function_of_the_weighted_features() -> None:
    weights = Weights(-0.5, {"level": (1.0, 2.0, 3.0), "base": (0.0, 1.0, -1.0), "colder": (0.0, 1.0, 9.0)})
    found = detect({"level": 2.0, "base": 0.25, "colder": np.nan}, weights)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-(-0.5 + 3.0 * 0.5 - 0.25))))
    assert [name for name, _ in found.because] == ["level", "base"]


def test_lags_and_shares_agree_with_a_plain_computation() -> None:
    grid = grid_of(15)
    load_kw = np.random.default_rng(8).gamma(1.0, 0.5, grid.steps)
    found = features_of(pattern_days(load_kw, grid, VIENNA))
    assert found["after_hour"] == pytest.approx(np.corrcoef(load_kw[:-4], load_kw[4:])[0, 1], abs=5e-3)
    assert found["level"] == pytest.approx(np.log(load_kw.mean()))
    hour, _ = clock_hours(grid)
    assert found["evening"] == pytest.approx(np.log(load_kw[(hour >= 17) & (hour < 21)].mean() / load_kw.mean() + 0.05))


def test_the_day_that_was_changed_is_the_one_found_unusual_and_told_in_words() -> None:
    grid = grid_of(60, 56)
    hour, weekend = clock_hours(grid)
    load_kw = evening(hour, weekend) * (1 + 0.05 * np.random.default_rng(6).standard_normal(grid.steps))
    doubled, silent, without_peak = 24 * 16, 24 * 30, 24 * 44
    load_kw[doubled + 2 : doubled + 10] *= 5
    load_kw[silent : silent + 24] = 0.01
    load_kw[without_peak + 15 : without_peak + 23] = 0.3
    found = day_patterns(PatternSeries("load_kw", grid, load_kw), VIENNA)
    told = {one.day.isoformat(): one.because for one in found.unusual}
    assert told == {
        "2025-01-29": "5 times the usual level from 02:00 to 10:00",
        "2025-02-12": "hardly any consumption all day",
        "2025-02-26": "no evening peak",
    }


def test_days_of_ordinary_noise_are_not_unusual() -> None:
    grid = grid_of(60, 56)
    hour, weekend = clock_hours(grid)
    load_kw = evening(hour, weekend) * np.random.default_rng(7).gamma(20, 1 / 20, grid.steps)
    assert not day_patterns(PatternSeries("load_kw", grid, load_kw), VIENNA).unusual


def test_a_cold_day_is_not_unusual_where_cold_is_what_is_answered_to() -> None:
    grid = grid_of(60, 56)
    generator = np.random.default_rng(9)
    warmth = np.repeat(generator.normal(3.0, 2.0, 56), 24)
    warmth[24 * 30 : 24 * 31] = -14.0
    load_kw = 1.0 + 0.2 * np.maximum(16.0 - warmth, 0.0) + 0.05 * generator.standard_normal(grid.steps)
    with_warmth = day_patterns(PatternSeries("load_kw", grid, load_kw, warmth), VIENNA)
    without = day_patterns(PatternSeries("load_kw", grid, load_kw), VIENNA)
    assert not with_warmth.unusual
    assert [one.day.isoformat() for one in without.unusual] == ["2025-02-12"]


def test_workdays_and_weekends_of_an_office_are_two_kinds_of_day() -> None:
    grid = grid_of(60)
    hour, weekend = clock_hours(grid)
    load_kw = office(hour, weekend) + 0.05 * np.random.default_rng(1).standard_normal(grid.steps)
    found = day_patterns(PatternSeries("load_kw", grid, load_kw), VIENNA)
    assert adjusted_rand_score(weekend[::24], found.kind_of) == 1.0


def test_gaps_change_little_and_never_make_nan() -> None:
    grid = grid_of(15)
    hour, weekend = clock_hours(grid)
    load_kw = evening(hour, weekend) + 0.2 * np.random.default_rng(2).random(grid.steps)
    holed = np.where(np.random.default_rng(3).random(grid.steps) < 0.1, np.nan, load_kw)
    holed[96 * 5 : 96 * 8] = np.nan
    whole, with_holes = (meter_pattern(pattern_days(one, grid, VIENNA)) for one in (load_kw, holed))
    assert with_holes.days == whole.days - 3
    assert with_holes.shape == whole.shape
    assert np.isfinite(numbers_in(with_holes)).all()
    assert with_holes.mean_kw == pytest.approx(whole.mean_kw, rel=0.02)
    for device in DEVICES:
        assert with_holes.devices[device].probability == pytest.approx(whole.devices[device].probability, abs=0.05)


@pytest.mark.parametrize("level_kw", [0.0, 0.7, -2.0])
@pytest.mark.parametrize("step_minutes", [1, 15, 30, 60])
def test_constant_series_have_a_pattern_without_nan(level_kw: float, step_minutes: int) -> None:
    grid = grid_of(step_minutes, 21)
    found = day_patterns(PatternSeries("net_load_kw", grid, np.full(grid.steps, level_kw)), VIENNA)
    assert np.isfinite(numbers_in(found.pattern)).all()
    assert len(found.kinds) == 1
    assert not found.unusual


def test_days_of_23_and_25_hours_are_days_like_others() -> None:
    for start in (datetime(2025, 3, 10, 23, tzinfo=UTC), datetime(2025, 10, 6, 22, tzinfo=UTC)):
        grid = TimeGrid(start, 35 * 24, 60)
        hour, weekend = clock_hours(grid)
        found = meter_pattern(pattern_days(evening(hour, weekend), grid, VIENNA))
        assert found.days >= 34
        assert found.shape == "evening peak"
        assert np.isfinite(numbers_in(found)).all()


def test_too_few_days_are_told_and_leave_other_homes_their_patterns() -> None:
    grid = grid_of(60, LEAST_DAYS - 1)
    short = PatternSeries("short", grid, np.ones(grid.steps))
    with pytest.raises(InsufficientData, match="found 13"):
        day_patterns(short, VIENNA)
    homes, kinds = invented_homes()
    found = member_patterns([short, *homes, PatternSeries("empty", grid, np.full(grid.steps, np.nan))], VIENNA)
    assert found.meters[0] is found.meters[-1] is None
    assert found.group_of[0] is None
    assert adjusted_rand_score(kinds, found.group_of[1:-1]) == 1.0
    assert member_patterns([short], VIENNA).groups == ()

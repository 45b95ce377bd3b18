"""Synthetic communities: believable beside metered homes, one sky, and the same again from the same seed."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from digital_twin.domain.assets import Photovoltaics
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.simulation.homes import calendar_of, home_load_kw
from digital_twin.simulation.place import Place
from digital_twin.simulation.sky import moving_sky, roof_kw
from digital_twin.simulation.synthetic import Neighbourhood, SyntheticCommunity, synthetic_community

HOUSEHOLDS = Path(__file__).parents[2] / "shared" / "data" / "ch_households537"
VIENNA = Place(48.2, 16.4, "Europe/Vienna")
YEAR = TimeGrid(datetime(2025, 1, 1, tzinfo=UTC), 35_040, 15)
AUTUMN = slice(299 * 96, (299 + 49) * 96)
"""The seven weeks that the Swiss meters cover: 27 October to 14 December."""
HOMES = 60
Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def village() -> SyntheticCommunity:
    return synthetic_community(np.random.default_rng(11), YEAR, VIENNA, homes=HOMES, pv_capacity_kw=300)


def correlation_after(steps: int, values: Values) -> float:
    from_mean = values - values.mean()
    return float((from_mean[:-steps] * from_mean[steps:]).mean() / from_mean.var())


def figures(load_kw: Values) -> dict[str, float]:
    """What tells how believable homes are: medians over the homes, and how little their peaks coincide."""
    peak, mean = load_kw.max(axis=1), load_kw.mean(axis=1)
    some = [np.random.default_rng(number).choice(len(load_kw), 25, replace=False) for number in range(20)]
    return {
        "peak_kw": float(np.median(peak)),
        "load_factor": float(np.median(mean / peak)),
        "variation": float(np.median(load_kw.std(axis=1) / mean)),
        "next_quarter": float(np.median([correlation_after(1, home) for home in load_kw])),
        "next_day": float(np.median([correlation_after(96, home) for home in load_kw])),
        "diversity": float(np.mean([peak[homes].sum() / load_kw[homes].sum(axis=0).max() for homes in some])),
    }


def test_homes_resemble_metered_ones_that_use_as_much(village: SyntheticCommunity) -> None:
    meters = HOUSEHOLDS / "meters_15min_wide.parquet"
    if not meters.exists():
        pytest.skip("the meters of 537 Swiss households are not there")
    energies = pd.read_parquet(meters).drop(columns="time_local")
    survey = pd.read_parquet(HOUSEHOLDS / "households.parquet")
    electric = set(survey.VID[survey.heating_type.isin(["heat pump", "electric heating"])].astype(str))
    load_kw = 4 * energies[[home for home in energies if home not in electric]].to_numpy(dtype=np.float64).T
    load_kw = load_kw[np.isfinite(load_kw).all(axis=1) & (load_kw >= -0.01).all(axis=1)]
    swiss = figures(load_kw[(load_kw.mean(axis=1) > 0.2) & (load_kw.mean(axis=1) < 0.8)])
    ours = figures(village.load_kw[:, AUTUMN])
    for name, within in (("peak_kw", 1.3), ("load_factor", 1.5), ("variation", 1.3), ("diversity", 1.25)):
        assert 1 / within < ours[name] / swiss[name] < within, (name, ours[name], swiss[name])
    for name in ("next_quarter", "next_day"):
        assert abs(ours[name] - swiss[name]) < 0.2, (name, ours[name], swiss[name])


def test_a_home_peaks_at_four_to_eight_kilowatts_and_many_together_far_below(village: SyntheticCommunity) -> None:
    peak = village.load_kw.max(axis=1)
    assert 4 < np.median(peak) < 8
    assert np.mean((peak > 3.5) & (peak < 10.5)) > 0.9
    assert village.load_kw.sum(axis=0).max() / HOMES < 2.0
    annual_kwh = village.load_kw.mean(axis=1) * 8_760
    assert 2_800 < annual_kwh.mean() < 4_000
    assert annual_kwh.std() / annual_kwh.mean() > 0.25


def test_the_same_seed_gives_the_same_bits_in_any_chunks() -> None:
    grid = TimeGrid(YEAR.start, 960, 15)
    whole = synthetic_community(np.random.default_rng(5), grid, VIENNA, homes=7, pv_capacity_kw=20)
    parts = Neighbourhood(np.random.default_rng(5), grid, VIENNA, homes=7, pv_capacity_kw=20).homes(3)
    made = list(parts)
    assert [one.first for one in made] == [0, 3, 6]
    np.testing.assert_array_equal(np.vstack([one.load_kw for one in made]), whole.load_kw)
    np.testing.assert_array_equal(np.vstack([one.pv_kw for one in made]), whole.pv_kw)
    other = synthetic_community(np.random.default_rng(6), grid, VIENNA, homes=7, pv_capacity_kw=20)
    assert not np.array_equal(other.load_kw, whole.load_kw)


def test_the_first_homes_do_not_depend_on_how_many_follow() -> None:
    grid = TimeGrid(YEAR.start, 960, 15)
    few, many = (
        synthetic_community(np.random.default_rng(5), grid, VIENNA, homes=homes, pv_capacity_kw=20) for homes in (2, 9)
    )
    np.testing.assert_array_equal(few.load_kw, many.load_kw[:2])


def test_the_hourly_series_of_a_home_is_the_mean_of_its_quarters() -> None:
    start = datetime(2025, 3, 29, tzinfo=UTC)  # the day after it has 23 hours
    quarters, hours = TimeGrid(start, 4 * 96, 15), TimeGrid(start, 96, 60)
    calendars = [calendar_of(grid, "Europe/Vienna", 48.2, np.full(grid.steps, 5.0)) for grid in (quarters, hours)]
    fine, coarse = (home_load_kw(np.random.default_rng(3), calendar) for calendar in calendars)
    np.testing.assert_allclose(fine.reshape(-1, 4).mean(axis=1), coarse, rtol=1e-9)


def test_people_live_by_the_local_clock_before_and_after_it_changes() -> None:
    grid = TimeGrid(datetime(2025, 3, 2, tzinfo=UTC), 96 * 56, 15)
    homes = synthetic_community(np.random.default_rng(2), grid, VIENNA, homes=40, pv_capacity_kw=0)
    total = homes.load_kw.sum(axis=0)
    clock = local_clock(grid, VIENNA.timezone)
    offset = np.round(clock.hour - (grid.starts.astype(np.int64) / 3_600) % 24) % 24

    def evening(rows: NDArray[np.bool_]) -> float:
        late = rows & (clock.hour >= 15) & (clock.hour < 23)
        return float(np.average(clock.hour[late], weights=total[late]))

    assert set(offset) == {1.0, 2.0}
    assert abs(evening(offset == 1) - evening(offset == 2)) < 0.25


def test_the_generation_of_all_roofs_adds_up_to_what_their_capacity_yields(village: SyntheticCommunity) -> None:
    capacities = np.array([0.0 if roof is None else roof.photovoltaics.capacity_kw for roof in village.roofs])
    assert capacities.sum() == pytest.approx(300)
    assert (capacities == 0).any()
    tilts = {roof.photovoltaics.tilt_degrees for roof in village.roofs if roof is not None}
    assert len(tilts) == np.count_nonzero(capacities)
    assert (village.pv_kw[capacities == 0] == 0).all()
    assert (village.pv_kw <= capacities[:, None] + 1e-12).all()
    assert (village.pv_kw[:, village.sky.zenith_degrees > 90] == 0).all()
    assert 950 < village.pv_kw.sum() / 4 / 300 < 1_250


def test_all_roofs_see_the_same_clouds_but_not_at_the_same_moment(village: SyntheticCommunity) -> None:
    south = Photovoltaics(1.0, 30.0, 180.0)
    first, middle, last = (roof_kw(village.sky, south, passage) for passage in (0.0, 0.5, 1.0))
    changes = [np.diff(one) for one in (first, middle, last)]
    near, far = np.corrcoef(changes[0], changes[1])[0, 1], np.corrcoef(changes[0], changes[2])[0, 1]
    assert 0.5 < far < near < 0.999
    assert first.sum() == pytest.approx(last.sum(), rel=0.02)


def test_a_year_of_sky_yields_what_a_south_roof_in_vienna_does() -> None:
    south = Photovoltaics(1.0, 30.0, 180.0)
    skies = [
        moving_sky(np.random.default_rng(seed), replace(YEAR, step_minutes=60, steps=8_760), VIENNA)
        for seed in range(8)
    ]
    yields = np.array([roof_kw(sky, south, 0.5).sum() for sky in skies])
    assert 1_000 < yields.mean() < 1_200  # PVGIS 5: about 1,100 kWh per kW
    assert 0.01 < yields.std() / yields.mean() < 0.09


def test_bright_summer_days_are_warm_and_bright_winter_days_cold() -> None:
    sky = moving_sky(np.random.default_rng(4), TimeGrid(YEAR.start, 5 * 35_040, 15), VIENNA)
    days = (5 * 365, 96)
    clear = sky.clear_ghi_wm2.reshape(days).sum(axis=1)
    brightness = sky.ghi_wm2.reshape(days).sum(axis=1) / clear
    warmth = sky.temperature_c.reshape(days).mean(axis=1)
    month = (np.arange(days[0]) % 365) // 30
    summer, winter = (month >= 5) & (month <= 7), (month >= 11) | (month <= 0)
    assert np.corrcoef(brightness[summer], warmth[summer])[0, 1] > 0.2
    assert np.corrcoef(brightness[winter], warmth[winter])[0, 1] < -0.1
    assert 0.3 < correlation_after(1, brightness) < 0.8


def test_the_seasons_are_turned_round_in_the_south() -> None:
    sky = moving_sky(np.random.default_rng(4), YEAR, Place(-33.9, 151.2, "Australia/Sydney"))
    january, july = slice(0, 31 * 96), slice(181 * 96, 212 * 96)
    assert sky.temperature_c[january].mean() > sky.temperature_c[july].mean() + 5
    assert sky.ghi_wm2[january].sum() > 1.5 * sky.ghi_wm2[july].sum()


def test_no_sun_and_no_homes_are_told_apart_from_mistakes() -> None:
    pole = Place(89.0, 0.0, "UTC")
    dark = synthetic_community(np.random.default_rng(1), TimeGrid(YEAR.start, 96, 15), pole, homes=1, pv_capacity_kw=9)
    assert (dark.pv_kw == 0).all()
    for homes, capacity in ((0, 1.0), (1, -1.0), (1, float("nan"))):
        with pytest.raises(InvalidInput):
            synthetic_community(np.random.default_rng(1), YEAR, VIENNA, homes=homes, pv_capacity_kw=capacity)


def test_odd_starts_steps_and_half_hour_zones_work() -> None:
    for start, minutes, zone in ((datetime(2024, 2, 28, 22, 45, tzinfo=UTC), 15, "Asia/Kolkata"),
                                 (datetime(2024, 10, 26, 23, 30, tzinfo=UTC), 5, "Europe/Vienna"),
                                 (datetime(2024, 10, 26, 23, 30, tzinfo=UTC), 30, "America/St_Johns")):  # fmt: skip
        grid = TimeGrid(start, 500, minutes)
        made = synthetic_community(np.random.default_rng(1), grid, Place(20, 70, zone), homes=2, pv_capacity_kw=4)
        assert np.isfinite(made.load_kw).all()
        assert (made.load_kw > 0).all()

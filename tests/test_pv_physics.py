"""The sun, what a roof yields, and which way roofs face."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pvlib
import pytest
from tests.builders import MONDAY
from tests.plants import EAST_WEST, QUITO, SOUTH, SYDNEY, VIENNA, plant, roofs_of

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Site
from digital_twin.forecasting.orientation import fit_roofs
from digital_twin.forecasting.solar import Orientation, Sky, rated_output
from digital_twin.forecasting.sun import sun_at

TROMSO = Site(69.6, 18.9, "Europe/Oslo", 100, 500.0, "NO")


# The sun


@pytest.mark.parametrize("site", [VIENNA, SYDNEY, TROMSO, QUITO])
def test_the_sun_stands_within_two_hundredths_of_a_degree_of_where_spa_puts_it(site: Site) -> None:
    instants = pd.date_range("2011-01-01", "2040-01-01", freq="37h23min", tz="UTC")
    expected = pvlib.solarposition.get_solarposition(instants, site.latitude, site.longitude)
    sun = sun_at(site, instants.as_unit("s").astype("int64").to_numpy().astype(np.float64))
    zenith, azimuth = np.radians(expected["apparent_zenith"]), np.radians(expected["azimuth"])
    seen = np.stack([sun.east, sun.north, sun.up])
    there = np.stack([np.sin(zenith) * np.sin(azimuth), np.sin(zenith) * np.cos(azimuth), np.cos(zenith)])
    away = np.degrees(2 * np.arcsin(np.linalg.norm(seen - there, axis=0) / 2))
    assert away[expected["apparent_zenith"] < 90].max() < 0.02
    assert np.abs(np.degrees(np.arccos(sun.true_up)) - expected["zenith"]).max() < 0.02


# What a roof yields


@pytest.mark.parametrize("site", [VIENNA, SYDNEY, TROMSO])
@pytest.mark.parametrize("facing", [(0, 180), (35, 90), (35, 270), (60, 180)])
def test_a_roof_yields_what_the_chain_of_pvlib_gives(site: Site, facing: tuple[float, float]) -> None:
    grid = TimeGrid(datetime(2026, 1, 1, tzinfo=UTC), 365 * 96, 15)
    weather = some_weather(site, grid)
    ours = Sky(site, [grid], weather).output(Orientation(*facing))
    expected = pvlib_output(site, grid, facing, weather)
    # at three degrees of height both switch to diffuse light alone; a hundredth of a degree decides when
    assert np.quantile(np.abs(ours - expected), 0.9999) < 0.005
    np.testing.assert_allclose(ours, expected, atol=0.02)


def some_weather(site: Site, grid: TimeGrid) -> dict[str, Array]:
    """From dull to cloudless, from frost to heat."""
    generator = np.random.default_rng(3)
    clear_wm2 = Sky(site, [grid], {}).clear_ghi_wm2
    return {
        "ghi_wm2": clear_wm2 * generator.uniform(0.05, 1.0, grid.steps),
        "temperature_c": generator.normal(12, 9, grid.steps),
        "wind_speed_ms": generator.uniform(0, 8, grid.steps),
    }


def pvlib_output(site: Site, grid: TimeGrid, facing: tuple[float, float], weather: dict[str, Array]) -> Array:
    middles = pd.DatetimeIndex(pd.to_datetime(grid.starts.astype(np.int64) + 450, unit="s", utc=True))
    sun = pvlib.solarposition.get_solarposition(middles, site.latitude, site.longitude)
    split = pvlib.irradiance.erbs(weather["ghi_wm2"], sun["zenith"], middles)
    plane = pvlib.irradiance.get_total_irradiance(
        *facing,
        sun["apparent_zenith"],
        sun["azimuth"],
        np.clip(split["dni"], 0, 1_000),
        weather["ghi_wm2"],
        split["dhi"],
        dni_extra=pvlib.irradiance.get_extra_radiation(middles),
        model="haydavies",
    )["poa_global"].fillna(0)
    cell_c = pvlib.temperature.faiman(plane, weather["temperature_c"], np.maximum(weather["wind_speed_ms"], 0.5))
    dc = pvlib.pvsystem.pvwatts_dc(plane, cell_c, 1.0, -0.004)
    return np.where(sun["apparent_zenith"] < 90, np.clip(0.86 * dc, 0, 1), 0)


def test_what_the_weather_says_of_diffuse_light_is_believed() -> None:
    grid = TimeGrid(datetime(2026, 6, 21, tzinfo=UTC), 96, 15)
    ghi_wm2 = Sky(VIENNA, [grid], {}).clear_ghi_wm2
    steep = Orientation(70, 180)
    beam, veil = (
        Sky(VIENNA, [grid], {"ghi_wm2": ghi_wm2, "dhi_wm2": share * ghi_wm2}).output(steep)[40:48].mean()
        for share in (0.1, 1.0)
    )
    # tilted by 70 degrees it sees two thirds of the sky and a third of the ground, which reflects a quarter
    assert veil == pytest.approx(0.86 * ghi_wm2[40:48].mean() / 1_000 * (0.671 + 0.329 * 0.25), rel=0.06)
    assert beam != pytest.approx(veil, rel=0.03)


def test_an_interval_without_known_weather_has_no_output_and_its_neighbours_have() -> None:
    grid = TimeGrid(MONDAY, 24, 60)
    ghi_wm2 = Sky(VIENNA, [grid], {}).clear_ghi_wm2.copy()
    ghi_wm2[11] = np.nan
    output = rated_output(VIENNA, grid, Orientation(30, 180), {"ghi_wm2": ghi_wm2})
    assert np.flatnonzero(np.isnan(output)).tolist() == [11]


def test_nights_are_dark_on_both_sides_of_the_earth_and_above_the_polar_circle() -> None:
    for site, at in ((VIENNA, MONDAY), (SYDNEY, MONDAY), (TROMSO, datetime(2026, 12, 20, tzinfo=UTC))):
        grid = TimeGrid(at, 96, 15)
        lit = {"ghi_wm2": np.full(96, 400.0)}  # a sensor that is wrong at night
        middles = pd.DatetimeIndex([grid.instant(step) + timedelta(minutes=7.5) for step in range(96)])
        zenith = pvlib.solarposition.get_solarposition(middles, site.latitude, site.longitude)["apparent_zenith"]
        output = rated_output(site, grid, Orientation(30, 180), lit)
        assert output[zenith > 90.1].max() == 0
        assert (output[zenith < 85] > 0).all()


# Which way roofs face


@pytest.mark.parametrize("is_weather_known", [True, False])
@pytest.mark.parametrize(
    ("site", "truth"),
    [(VIENNA, (35.0, 180.0, 400.0)), (VIENNA, (20.0, 230.0, 300.0)), (SYDNEY, (25.0, 20.0, 400.0))],
)
def test_a_roof_is_found_again(site: Site, truth: tuple[float, float, float], is_weather_known: bool) -> None:
    past = plant(site, roofs_of(truth), days=120, noise=0.03)
    found, agreement = fit_roofs(site, past if is_weather_known else replace(past, weather={}))
    assert found.tilt_degrees.size == 1
    # without weather the brightest moments stand for a cloudless sky, which they are not quite
    assert found.tilt_degrees[0] == pytest.approx(truth[0], abs=10 if is_weather_known else 15)
    assert abs((found.azimuth_degrees[0] - truth[1] + 180) % 360 - 180) <= (12 if is_weather_known else 20)
    assert agreement > 0.95
    if is_weather_known:
        assert found.scale_kw[0] == pytest.approx(truth[2], rel=0.05)


@pytest.mark.parametrize("is_weather_known", [True, False])
def test_roofs_to_the_east_and_to_the_west_are_told_apart(is_weather_known: bool) -> None:
    past = plant(VIENNA, EAST_WEST, days=120)
    found, _ = fit_roofs(VIENNA, past if is_weather_known else replace(past, weather={}))
    east, west = np.sort(found.azimuth_degrees)
    assert east == pytest.approx(95, abs=20)
    assert west == pytest.approx(275, abs=20)
    shares = found.scale_kw / found.scale_kw.sum()
    np.testing.assert_allclose(shares, 0.5, atol=0.12)


@pytest.mark.parametrize("is_weather_known", [True, False])
def test_one_roof_is_not_taken_for_two(is_weather_known: bool) -> None:
    for azimuth in (140.0, 180.0, 240.0):
        past = plant(VIENNA, roofs_of((40.0, azimuth, 400.0)), days=90, noise=0.25)
        past = past if is_weather_known else replace(past, weather={})
        assert fit_roofs(VIENNA, past)[0].tilt_degrees.size == 1


def test_few_dull_days_leave_a_roof_near_what_is_usual() -> None:
    past = plant(VIENNA, SOUTH, days=15, noise=0.5)
    found, _ = fit_roofs(VIENNA, past)
    assert 15 <= found.tilt_degrees[0] <= 50
    assert abs(found.azimuth_degrees[0] - 180) <= 40

"""Generation: the sun stands where astronomers say, and a roof yields what pvlib says."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pvlib
import pytest
from tests.builders import MONDAY

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Site
from digital_twin.forecasting.solar import Orientation, Sky, rated_output
from digital_twin.forecasting.sun import sun_at

VIENNA = Site(48.2, 16.4, "Europe/Vienna", 100, 500.0, "AT")
SYDNEY = Site(-33.9, 151.2, "Australia/Sydney", 100, 500.0, "AU")
TROMSO = Site(69.6, 18.9, "Europe/Oslo", 100, 500.0, "NO")
QUITO = Site(-0.2, -78.5, "America/Guayaquil", 100, 500.0, None)


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

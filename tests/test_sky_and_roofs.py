"""The sky of a synthetic community and its roofs: against pvlib, a measured sky, and what clouds do at two places."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pvlib
import pytest
from numpy.typing import NDArray

from digital_twin.domain.assets import Photovoltaics
from digital_twin.domain.time import TimeGrid
from digital_twin.simulation.place import Place
from digital_twin.simulation.roofs import Roof, draw_roof, roof_kw
from digital_twin.simulation.sky import MIDDLE, Sky, Spot, ghi_at, moving_sky

VIENNA = Place(48.2, 16.4, "Europe/Vienna")
YEAR = TimeGrid(datetime(2025, 1, 1, tzinfo=UTC), 35_040, 15)
SOUTH = Photovoltaics(1.0, 30.0, 180.0)
Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def sky() -> Sky:
    return moving_sky(np.random.default_rng(4), YEAR, VIENNA)


def correlation_after(steps: int, values: Values) -> float:
    from_mean = values - values.mean()
    return float((from_mean[:-steps] * from_mean[steps:]).mean() / from_mean.var())


@pytest.mark.parametrize(("tilt", "azimuth"), [(30.0, 180.0), (0.0, 0.0), (90.0, 270.0), (45.0, 75.0), (60.0, 0.0)])
def test_a_roof_generates_what_pvlib_says_of_the_same_sky(sky: Sky, tilt: float, azimuth: float) -> None:
    day = sky.daylight.steps
    up = sky.daylight.sun[2]
    zenith = np.degrees(np.arccos(up))
    towards = np.degrees(np.arctan2(sky.daylight.sun[0], sky.daylight.sun[1])) % 360
    plane = pvlib.irradiance.get_total_irradiance(
        tilt, azimuth, zenith, towards, sky.dni_wm2[day], sky.ghi_wm2[day], sky.dhi_wm2[day],
        dni_extra=sky.daylight.dni_extra_wm2, model="haydavies",
    )["poa_global"]  # fmt: skip
    cell_c = pvlib.temperature.faiman(plane, sky.temperature_c[day], sky.wind_speed_ms[day])
    dc_kw = pvlib.pvsystem.pvwatts_dc(np.asarray(plane), np.asarray(cell_c), 7.0, -0.004)
    expected = np.clip(0.86 * dc_kw, 0.0, 5.5)
    made = roof_kw(sky, Roof(Photovoltaics(7.0, tilt, azimuth), 5.5, MIDDLE))
    np.testing.assert_allclose(made[day], expected, rtol=1e-9, atol=1e-9)
    assert np.flatnonzero(made).size == np.flatnonzero(made[day]).size


def test_direct_and_diffuse_light_are_those_of_erbs(sky: Sky) -> None:
    day = sky.daylight.steps
    zenith = np.degrees(np.arccos(sky.daylight.sun[2]))
    middles = pd.DatetimeIndex(pd.to_datetime(YEAR.starts[day].astype(np.int64) + 450, unit="s", utc=True))
    expected = pvlib.irradiance.erbs(sky.ghi_wm2[day], zenith, middles, max_zenith=np.degrees(np.arccos(0.065)))
    beam = np.asarray(expected["dni"])
    weak = beam < 1_000
    np.testing.assert_allclose(sky.dni_wm2[day][weak], beam[weak], rtol=1e-3, atol=0.3)
    assert (sky.dni_wm2 <= 1_000).all()
    up = sky.daylight.sun[2]
    np.testing.assert_allclose(sky.dni_wm2[day] * up + sky.dhi_wm2[day], sky.ghi_wm2[day], atol=1e-9)


def test_clouds_differ_the_more_the_farther_apart_two_roofs_are(sky: Sky) -> None:
    west = Spot(-1.0, 0.0)
    changes = {
        east: np.diff(ghi_at(sky.daylight, Spot(east, 0.0)) / sky.daylight.clear_ghi_wm2)
        for east in (-1.0, -0.5, 0.0, 1.0)
    }
    alike = [float(np.corrcoef(changes[west.east_km], one)[0, 1]) for one in changes.values()]
    assert alike[0] == pytest.approx(1)
    assert sorted(alike, reverse=True) == alike
    # Lave and Kleissl (2013) at 2 km, a quarter of an hour and 8 m/s: exp(-2 x 2 / 7.2); corners come in between
    assert alike[-1] == pytest.approx(np.exp(-4 / 7.2), abs=0.15)


def test_the_changes_of_clouds_are_lost_sooner_between_roofs_by_the_minute() -> None:
    minutes = TimeGrid(datetime(2025, 6, 1, tzinfo=UTC), 20 * 1440, 1)
    quarters = TimeGrid(minutes.start, 200 * 96, 15)
    alike = []
    for grid in (minutes, quarters):
        daylight = moving_sky(np.random.default_rng(3), grid, VIENNA).daylight
        ends = (ghi_at(daylight, Spot(east, 0.0)) / daylight.clear_ghi_wm2 for east in (-1.0, 1.0))
        alike.append(float(np.corrcoef(*(np.diff(one) for one in ends))[0, 1]))
    assert alike[0] < alike[1] - 0.1


def test_every_spot_has_as_much_sun_and_as_many_clouds(sky: Sky) -> None:
    spots = [MIDDLE, Spot(-1.0, -1.0), Spot(1 / 3, -1 / 3), Spot(0.9, 0.2), Spot(7.0, 0.0)]
    shares = [ghi_at(sky.daylight, spot) / sky.daylight.clear_ghi_wm2 for spot in spots]
    for share in shares:
        assert share.mean() == pytest.approx(shares[0].mean(), abs=0.02)
        assert share.std() == pytest.approx(shares[0].std(), abs=0.02)
        assert ((share > 0.0) & (share < 1.06)).all()


def test_a_year_of_sky_yields_what_a_south_roof_in_vienna_does() -> None:
    hours = replace(YEAR, step_minutes=60, steps=8_760)
    skies = [moving_sky(np.random.default_rng(seed), hours, VIENNA) for seed in range(8)]
    yields = np.array([roof_kw(sky, Roof(SOUTH, 1.0, MIDDLE)).sum() for sky in skies])
    assert 1_000 < yields.mean() < 1_200  # PVGIS 5: about 1,100 kWh per kW
    assert 0.01 < yields.std() / yields.mean() < 0.09


def test_bright_summer_days_are_warm_and_bright_winter_days_cold() -> None:
    sky = moving_sky(np.random.default_rng(4), TimeGrid(YEAR.start, 5 * 35_040, 15), VIENNA)
    days = (5 * 365, 96)
    brightness = sky.ghi_wm2.reshape(days).sum(axis=1) / sky.clear_ghi_wm2.reshape(days).sum(axis=1)
    warmth = sky.temperature_c.reshape(days).mean(axis=1)
    month = (np.arange(days[0]) % 365) // 30
    summer, winter = (month >= 5) & (month <= 7), (month >= 11) | (month <= 0)
    assert np.corrcoef(brightness[summer], warmth[summer])[0, 1] > 0.2
    assert np.corrcoef(brightness[winter], warmth[winter])[0, 1] < -0.1
    assert 0.3 < correlation_after(1, brightness) < 0.8


def test_wind_is_rayleigh_distributed_and_brisker_under_clouds_and_by_day(sky: Sky) -> None:
    wind = sky.wind_speed_ms
    assert wind.mean() == pytest.approx(3.0, rel=0.1)
    assert wind.std() / wind.mean() == pytest.approx(np.sqrt(4 / np.pi - 1), abs=0.08)  # the day adds to it
    assert (wind >= 0).all()
    by_day = wind.reshape(365, 96)
    brightness = sky.ghi_wm2.reshape(365, 96).sum(axis=1) / sky.clear_ghi_wm2.reshape(365, 96).sum(axis=1)
    assert np.corrcoef(brightness, by_day.mean(axis=1))[0, 1] < -0.1
    assert by_day[:, 48:64].mean() > 1.2 * by_day[:, :16].mean()


def test_the_seasons_are_turned_round_in_the_south() -> None:
    sydney = Place(-33.9, 151.2, "Australia/Sydney")
    sky = moving_sky(np.random.default_rng(4), YEAR, sydney)
    january, july = slice(0, 31 * 96), slice(181 * 96, 212 * 96)
    assert sky.temperature_c[january].mean() > sky.temperature_c[july].mean() + 5
    assert sky.ghi_wm2[january].sum() > 1.5 * sky.ghi_wm2[july].sum()
    north, south = (
        roof_kw(sky, Roof(Photovoltaics(1.0, 30.0, towards), 1.0, MIDDLE)).sum() for towards in (0.0, 180.0)
    )
    assert north > 1.2 * south
    drawn = [draw_roof(np.random.default_rng(seed), sydney, MIDDLE).photovoltaics for seed in range(200)]
    assert np.mean([np.cos(np.radians(one.azimuth_degrees)) for one in drawn]) > 0.5


def test_the_clock_on_the_wall_does_not_move_the_sun() -> None:
    grid = TimeGrid(datetime(2025, 3, 28, tzinfo=UTC), 4 * 96, 15)
    there, here = (
        moving_sky(np.random.default_rng(1), grid, replace(VIENNA, timezone=zone)) for zone in ("UTC", "Europe/Vienna")
    )
    np.testing.assert_array_equal(there.ghi_wm2, here.ghi_wm2)
    np.testing.assert_array_equal(there.temperature_c, here.temperature_c)


def test_a_small_inverter_cuts_the_peak_and_nothing_else(sky: Sky) -> None:
    large, small = (roof_kw(sky, Roof(SOUTH, inverter_kw, MIDDLE)) for inverter_kw in (1.0, 0.6))
    np.testing.assert_array_equal(small, np.minimum(large, 0.6))
    assert 0.9 < small.sum() / large.sum() < 1.0


def test_roofs_look_where_roofs_look() -> None:
    drawn = [draw_roof(np.random.default_rng(seed), VIENNA, MIDDLE) for seed in range(500)]
    panels = [one.photovoltaics for one in drawn]
    assert np.median([one.capacity_kw for one in panels]) == pytest.approx(8.0, rel=0.1)
    assert np.mean([one.azimuth_degrees for one in panels]) == pytest.approx(180, abs=8)
    assert np.std([one.azimuth_degrees for one in panels]) == pytest.approx(48, abs=6)
    assert all(3 <= one.tilt_degrees <= 65 for one in panels)
    assert all(1.0 <= one.photovoltaics.capacity_kw / one.inverter_kw <= 1.3 for one in drawn)

"""Zones, terms, mixes and what is repeated: the pure part of feeds."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY, hours, series

from digital_twin.domain.bidding_zones import BIDDING_ZONES, bidding_zone, is_area_code
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.feeds import FED_SERIES, FEED_OF, Place, PriceTerms, WeatherFeed, repeat_last_day
from digital_twin.domain.generation_mix import (
    FUEL_FACTORS,
    EmissionBasis,
    GenerationMix,
    average_emission_factor,
)
from digital_twin.domain.readings import COMMUNITY_SERIES
from digital_twin.domain.time import TimeGrid

ZONE = "Europe/Vienna"


def mix(**megawatts: list[float]) -> GenerationMix:
    steps = len(next(iter(megawatts.values())))
    told = {kind: 1000 * np.array(values, dtype=np.float64) for kind, values in megawatts.items()}
    return GenerationMix(TimeGrid(MONDAY, steps, 60), told)


# Bidding zones


@pytest.mark.parametrize("name", BIDDING_ZONES)
def test_every_code_of_the_table_ends_in_its_check_character(name: str):
    assert is_area_code(BIDDING_ZONES[name].code)
    assert bidding_zone(name) == bidding_zone(BIDDING_ZONES[name].code)


@given(st.sampled_from(sorted(BIDDING_ZONES)), st.integers(0, 15), st.sampled_from("0123456789ABCDEFGHIJ-"))
def test_one_wrong_character_is_noticed(name: str, place: int, character: str):
    code = BIDDING_ZONES[name].code
    wrong = code[:place] + character + code[place + 1 :]
    assert is_area_code(wrong) == (wrong == code)


def test_an_area_that_is_not_in_the_table_stands_for_itself():
    assert bidding_zone("10YDE-VE-------2").name == "10YDE-VE-------2"  # the control area of 50Hertz


@pytest.mark.parametrize("named", ["", "at", "Austria", "10X1001A1001A450", "10YAT-APG------M", "10YAT-APG------L "])
def test_what_names_no_zone_is_refused_with_those_that_do(named: str):
    with pytest.raises(InvalidInput, match=r"zone must be one of AL, AT, .* Energy Identification Code") as refusal:
        bidding_zone(named)
    assert refusal.value.facts["field"] == "zone"


# What is made of a spot price


def test_a_contract_makes_a_price_of_the_spot_price():
    terms = PriceTerms(factor=1.03, adder_per_kwh=0.12, vat=0.2)
    np.testing.assert_allclose(terms.price_of(np.array([0.1, -0.05])), [0.2676, 0.0822])
    np.testing.assert_array_equal(PriceTerms().price_of(np.array([0.1, np.nan])), [0.1, np.nan])


@pytest.mark.parametrize("wrong", [{"vat": 20.0}, {"factor": 1e3}, {"adder_per_kwh": float("nan")}])
def test_terms_that_no_contract_has_are_refused(wrong: dict[str, float]):
    with pytest.raises(InvalidInput, match="must lie in"):
        PriceTerms(**wrong)


def test_a_place_names_no_home():
    assert Place(48.20849, 16.37208) == Place(48.21, 16.37)
    assert str(Place(-0.001, 0.0)) == "Place(latitude=0.0, longitude=0.0)"


def test_weather_comes_hourly_or_every_quarter():
    with pytest.raises(InvalidInput, match="15 or 60, got 30"):
        WeatherFeed(resolution_minutes=30)


def test_feeds_write_series_that_a_community_has_and_no_two_the_same():
    names = [name for told in FED_SERIES.values() for name in told]
    assert set(names) <= set(COMMUNITY_SERIES)
    assert len(names) == len(set(names)) == len(FEED_OF)


# Emissions of a mix


def test_the_factor_is_the_mean_over_what_is_generated():
    told = mix(hard_coal=[100.0, 0.0], wind_onshore=[300.0, 400.0])
    np.testing.assert_allclose(average_emission_factor(told, EmissionBasis.DIRECT), [0.190, 0.0])
    np.testing.assert_allclose(average_emission_factor(told, EmissionBasis.LIFE_CYCLE), [0.21325, 0.011])


def test_factors_that_the_panel_does_not_list_follow_the_carbon_of_the_fuel():
    # 760 g/kWh x 101 / 94.6 and x 77.4 / 94.6
    assert FUEL_FACTORS["lignite"].direct_kg_per_kwh == 0.811
    assert FUEL_FACTORS["oil"].direct_kg_per_kwh == 0.622
    assert FUEL_FACTORS["lignite"].life_cycle_kg_per_kwh == 0.871


def test_kinds_without_a_factor_are_like_the_rest():
    told = mix(gas=[100.0], other=[900.0], pumped_storage=[500.0])
    np.testing.assert_allclose(average_emission_factor(told, EmissionBasis.DIRECT), [0.370])


def test_an_interval_that_most_have_not_told_yet_is_unknown():
    told = mix(nuclear=[60.0, 60.0, 60.0, np.nan], solar=[10.0, 10.0, 10.0, 10.0])
    np.testing.assert_array_equal(np.isnan(average_emission_factor(told, EmissionBasis.DIRECT)), [0, 0, 0, 1])
    assert np.isnan(average_emission_factor(mix(other=[5.0]), EmissionBasis.DIRECT)).all()


@given(st.lists(st.tuples(*(st.floats(0, 1e5) for _ in FUEL_FACTORS)), min_size=1, max_size=8))
def test_a_mix_emits_no_less_than_its_cleanest_and_no_more_than_its_dirtiest_kind(rows: list[tuple[float, ...]]):
    told = mix(**{kind: [row[place] for row in rows] for place, kind in enumerate(FUEL_FACTORS)})
    for basis in EmissionBasis:
        factors = average_emission_factor(told, basis)
        known = factors[np.isfinite(factors)]
        assert (known >= -1e-12).all()
        assert (known <= max(one.on(basis) for one in FUEL_FACTORS.values()) + 1e-12).all()


# What lies ahead of the last value


def test_hours_ahead_repeat_those_of_the_day_before():
    told = series("import_price_per_kwh", [*range(24), np.nan, np.nan], minutes=60)
    ahead = repeat_last_day(told, MONDAY + hours(48), "UTC")
    assert ahead is not None
    assert (ahead.grid.start, ahead.grid.end) == (MONDAY + hours(24), MONDAY + hours(48))
    np.testing.assert_array_equal(ahead.values, range(24))


def test_a_gap_is_bridged_from_the_day_that_has_the_hour():
    told = series("import_price_per_kwh", [*range(24), *[np.nan] * 6, *range(106, 112)], minutes=60)
    ahead = repeat_last_day(told, MONDAY + hours(60), "UTC")
    assert ahead is not None
    # Tuesday 12:00 to Wednesday 12:00: Monday's hours where Tuesday has none
    np.testing.assert_array_equal(ahead.values, [*range(12, 24), *range(6), *range(106, 112)])


@pytest.mark.parametrize(
    ("day", "length"),
    [(datetime(2026, 3, 29, tzinfo=ZoneInfo(ZONE)), 23), (datetime(2026, 10, 25, tzinfo=ZoneInfo(ZONE)), 25)],
)
def test_the_wall_clock_counts_on_days_that_change_it(day: datetime, length: int):
    midnight = day.astimezone(UTC)
    start = midnight - timedelta(hours=24)
    clock = [(start + hours(step)).astimezone(ZoneInfo(ZONE)).hour for step in range(24)]
    ahead = repeat_last_day(
        series("import_price_per_kwh", clock, start=start, minutes=60), midnight + hours(length), ZONE
    )
    assert ahead is not None
    shown = [ahead.grid.instant(step).astimezone(ZoneInfo(ZONE)).hour for step in range(length)]
    np.testing.assert_array_equal(ahead.values, shown)
    assert len(shown) == length


def test_nothing_is_repeated_where_nothing_is_known_or_nothing_is_left_to_fill():
    assert repeat_last_day(series("import_price_per_kwh", [np.nan]), MONDAY + hours(24), ZONE) is None
    assert repeat_last_day(series("import_price_per_kwh", [1.0] * 4), MONDAY + hours(1), ZONE) is None
    week_old = series("import_price_per_kwh", [1.0], minutes=60)
    assert repeat_last_day(week_old, MONDAY + hours(20), ZONE) is None  # no hour that is asked for was ever told

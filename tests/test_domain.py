"""The words of the domain: time, units, readings, tariffs, errors."""

import pickle
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY, community, series

from digital_twin.domain import errors
from digital_twin.domain.assets import Battery, EvCharger, Fuse, HeatPump, Member, Photovoltaics
from digital_twin.domain.errors import Infeasible, InsufficientData, InvalidInput, TwinError
from digital_twin.domain.readings import SeriesKey, SeriesValues, check_readings
from digital_twin.domain.resampling import resample
from digital_twin.domain.tariff import (
    CapacityCharge,
    DynamicPrice,
    FlatPrice,
    TimeOfUsePrice,
    TimeWindow,
    price_path,
)
from digital_twin.domain.time import (
    MAX_STEPS,
    RESOLUTIONS_MINUTES,
    TimeGrid,
    as_utc,
    floor_to_step,
    local_clock,
    time_zone,
)
from digital_twin.domain.units import SeriesKind, canonical_unit, to_canonical

NAN = float("nan")
VIENNA = ZoneInfo("Europe/Vienna")


# Time


def test_intervals_are_half_open_and_labelled_by_their_start() -> None:
    grid = TimeGrid(MONDAY, 4, 15)
    assert grid.end == MONDAY + timedelta(hours=1)
    assert (grid.hours, grid.step_hours) == (1.0, 0.25)
    assert grid.starts.tolist() == [(MONDAY + index * timedelta(minutes=15)).replace(tzinfo=None) for index in range(4)]
    assert grid.instant(4) == grid.end


@pytest.mark.parametrize(
    ("start", "steps", "minutes", "field"),
    [
        (MONDAY.replace(tzinfo=None), 4, 15, "start"),
        (MONDAY + timedelta(minutes=7), 4, 15, "start"),
        (MONDAY + timedelta(microseconds=1), 4, 15, "start"),
        (MONDAY, 0, 15, "horizon_hours"),
        (MONDAY, MAX_STEPS + 1, 1, "horizon_hours"),
        (MONDAY, 4, 7, "resolution_minutes"),
        (MONDAY, 4, 1440, "resolution_minutes"),
        (datetime(1969, 12, 31, tzinfo=UTC), 4, 15, "start"),
        (datetime(2106, 2, 7, tzinfo=UTC), 4, 15, "start"),
    ],
)
def test_a_grid_refuses_what_is_no_grid_and_names_the_field(
    start: datetime, steps: int, minutes: int, field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        TimeGrid(start, steps, minutes)
    assert caught.value.facts["field"] == field


def test_an_unaligned_start_is_told_where_its_interval_begins() -> None:
    with pytest.raises(InvalidInput, match=r"starts at 2026-03-02T00:00:00\+00:00"):
        TimeGrid(MONDAY + timedelta(minutes=7), 4, 15)


def test_a_grid_spans_whole_steps_only() -> None:
    assert TimeGrid.spanning(MONDAY, MONDAY + timedelta(hours=1), 15).steps == 4
    for end in (MONDAY, MONDAY - timedelta(hours=1), MONDAY + timedelta(minutes=50)):
        with pytest.raises(InvalidInput, match="whole number"):
            TimeGrid.spanning(MONDAY, end, 15)


def test_times_of_every_zone_are_one_instant() -> None:
    nepal = datetime(2026, 3, 2, 5, 45, tzinfo=ZoneInfo("Asia/Kathmandu"))
    assert as_utc(nepal) == MONDAY
    assert floor_to_step(nepal + timedelta(minutes=14), 15) == MONDAY
    with pytest.raises(InvalidInput, match="time zone"):
        as_utc(datetime(2026, 3, 2))  # noqa: DTZ001
    with pytest.raises(InvalidInput, match=r"1970\.\.2100"):
        as_utc(datetime.max.replace(tzinfo=ZoneInfo("America/New_York")))


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="IANA"):
        time_zone(name)


@pytest.mark.parametrize(
    ("day", "quarters", "missing", "doubled"),
    [
        (datetime(2026, 3, 29, tzinfo=VIENNA), 92, 2, None),
        (datetime(2026, 10, 25, tzinfo=VIENNA), 100, None, 2),
        (datetime(2026, 3, 2, tzinfo=VIENNA), 96, None, None),
    ],
)
def test_local_days_have_23_24_or_25_hours(
    day: datetime, quarters: int, missing: int | None, doubled: int | None
) -> None:
    grid = TimeGrid.spanning(day, day + timedelta(days=1), 15)
    clock = local_clock(grid, "Europe/Vienna")
    assert grid.steps == quarters
    assert set(clock.day) == {day.date().toordinal() - 719_163}
    hours = np.floor(clock.hour).astype(int)
    for hour in range(24):
        expected = 0 if hour == missing else 8 if hour == doubled else 4
        assert np.count_nonzero(hours == hour) == expected
    assert set(clock.weekday) == {day.weekday()}


@given(
    st.sampled_from(["Europe/Vienna", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"]),
    st.integers(0, 2_000_000),
)
def test_the_local_clock_is_that_of_the_standard_library(zone: str, quarter: int) -> None:
    start = datetime(2000, 1, 1, tzinfo=UTC) + quarter * timedelta(minutes=15)
    grid = TimeGrid(start, 8, 15)
    clock = local_clock(grid, zone)
    for index in range(8):
        local = grid.instant(index).astimezone(ZoneInfo(zone))
        assert clock.hour[index] == pytest.approx(local.hour + local.minute / 60 + local.second / 3600)
        assert clock.weekday[index] == local.weekday()
        assert clock.day_of_year[index] == local.timetuple().tm_yday


# Units


@pytest.mark.parametrize(
    ("name", "unit", "kind"),
    [
        ("load_kw", "kW", SeriesKind.MEAN),
        ("storage_soc_kwh", "kWh", SeriesKind.INSTANT),
        ("heat_kwh", "kWh", SeriesKind.ENERGY),
        ("import_price_per_kwh", "currency/kWh", SeriesKind.MEAN),
        ("emission_factor_kg_per_kwh", "kg/kWh", SeriesKind.MEAN),
        ("temperature_c", "C", SeriesKind.INSTANT),
    ],
)
def test_a_name_promises_its_unit(name: str, unit: str, kind: SeriesKind) -> None:
    assert canonical_unit(name) == (unit, kind)


@pytest.mark.parametrize(
    ("value", "name", "unit", "kind", "expected"),
    [
        (1500, "load_kw", "W", SeriesKind.MEAN, 1.5),
        (0.25, "load_kw", "kWh", SeriesKind.ENERGY, 1.0),  # over a quarter of an hour
        (250, "load_kw", "Wh", SeriesKind.ENERGY, 1.0),
        (4, "heat_kwh", "kW", SeriesKind.MEAN, 1.0),
        (300, "temperature_c", "K", SeriesKind.INSTANT, 26.85),
        (120, "import_price_per_kwh", "EUR/MWh", SeriesKind.MEAN, 0.12),
        (250, "emission_factor_kg_per_kwh", "g/kWh", SeriesKind.MEAN, 0.25),
    ],
)
def test_foreign_units_are_converted_once(
    value: float, name: str, unit: str, kind: SeriesKind, expected: float
) -> None:
    assert to_canonical(np.array([float(value)]), name, unit, kind, 0.25)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "unit", "kind"),
    [
        ("load_kw", "kWh", SeriesKind.MEAN),
        ("load_kw", "kW", SeriesKind.ENERGY),
        ("load_kw", "m/s", SeriesKind.MEAN),
        ("storage_soc_kwh", "kW", SeriesKind.MEAN),
        ("temperature_c", "F", SeriesKind.INSTANT),
    ],
)
def test_units_that_do_not_fit_are_refused(name: str, unit: str, kind: SeriesKind) -> None:
    with pytest.raises(InvalidInput, match="takes"):
        to_canonical(np.ones(1), name, unit, kind, 0.25)


# Readings


@pytest.mark.parametrize("name", ["load", "Load_kw", "load_kw; drop table", "", "x" * 70 + "_kw"])
def test_a_series_name_is_a_lower_case_word_with_a_unit(name: str) -> None:
    with pytest.raises(InvalidInput):
        SeriesKey(name, "h1")


def test_a_community_has_only_series_that_mean_something_there() -> None:
    SeriesKey("load_kw")
    with pytest.raises(InvalidInput, match="member_id"):
        SeriesKey("washing_machine_kw")
    SeriesKey("washing_machine_kw", "h1")


def test_unbelievable_readings_are_named_and_the_others_kept() -> None:
    given = series("load_kw", [1, -0.5, NAN, 2e6, float("inf"), 3])
    kept, rejected = check_readings(given, MONDAY + timedelta(days=1))
    np.testing.assert_array_equal(kept.values, [1, NAN, NAN, NAN, NAN, 3])
    assert [one.start for one in rejected] == [given.grid.instant(index) for index in (1, 3, 4)]
    assert all("must lie in 0..1e+06" in one.reason for one in rejected)


def test_net_load_may_be_negative_and_prices_may_lie_ahead() -> None:
    net, rejected = check_readings(series("net_load_kw", [-5.0]), MONDAY + timedelta(hours=1))
    assert not rejected
    assert net.values[0] == -5
    far = series("import_price_per_kwh", [0.1], start=MONDAY + timedelta(days=371))
    _, rejected = check_readings(far, MONDAY)
    assert "ahead" in rejected[0].reason


# Resampling

shorter = st.sampled_from(RESOLUTIONS_MINUTES)


@given(shorter, shorter, st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_resampling_conserves_energy(fine: int, coarse: int, values: list[float]) -> None:
    given = series("heat_kwh", values, asset="a", minutes=fine)
    hours = -(-given.grid.hours // 1)
    wide = SeriesValues(
        given.key, TimeGrid(MONDAY, int(hours * 60 / fine), fine), np.resize(given.values, int(hours * 60 / fine))
    )
    there = resample(wide, TimeGrid(MONDAY, int(hours * 60 / coarse), coarse))
    assert there.values.sum() == pytest.approx(wide.values.sum(), rel=1e-9, abs=1e-9)


def test_means_average_instants_hold_and_gaps_stay_gaps() -> None:
    hour = TimeGrid(MONDAY, 2, 60)
    quarters = [1, 2, 3, 6, 1, NAN, 1, 1]
    np.testing.assert_array_equal(resample(series("load_kw", quarters), hour).values, [3, NAN])
    np.testing.assert_array_equal(resample(series("storage_soc_kwh", quarters), hour).values, [1, 1])
    back = resample(series("load_kw", [4.0], minutes=60), TimeGrid(MONDAY - timedelta(minutes=15), 6, 15))
    np.testing.assert_array_equal(back.values, [NAN, 4, 4, 4, 4, NAN])


# Tariffs


def test_time_of_use_follows_the_local_clock_through_the_change_of_the_clock() -> None:
    night = TimeOfUsePrice(0.30, (TimeWindow(0.10, 22, 6), TimeWindow(0.20, 12, 14, frozenset({5, 6}))))
    sunday = datetime(2026, 3, 29, tzinfo=VIENNA)
    grid = TimeGrid.spanning(sunday, sunday + timedelta(days=1), 60)
    prices = price_path(night, local_clock(grid, "Europe/Vienna"))
    # 23 hours: 0, 1, 3, 4, 5 are night, then 16 hours of day with two cheap ones, then 22 and 23
    assert prices.tolist() == [0.10] * 5 + [0.30] * 6 + [0.20] * 2 + [0.30] * 8 + [0.10] * 2


def test_a_dynamic_price_needs_a_market_price_for_every_interval() -> None:
    clock = local_clock(TimeGrid(MONDAY, 3, 60), "UTC")
    price = DynamicPrice(0.02, 1.1)
    np.testing.assert_allclose(price_path(price, clock, np.array([0.1, -0.1, 0.0])), [0.13, -0.09, 0.02])
    for market, found in ((None, 0), (np.array([0.1, NAN, 0.1]), 2)):
        with pytest.raises(InsufficientData) as caught:
            price_path(price, clock, market)
        assert (caught.value.facts["needed"], caught.value.facts["found"]) == (3, found)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FlatPrice(NAN),
        lambda: FlatPrice(5_000),
        lambda: TimeWindow(0.1, -1, 6),
        lambda: TimeWindow(0.1, 0, 6, frozenset({7})),
        lambda: TimeWindow(0.1, 0, 6, frozenset()),
        lambda: DynamicPrice(multiplier=-1),
        lambda: CapacityCharge(-1),
        lambda: CapacityCharge(1, peak_so_far_kw=NAN),
        lambda: Photovoltaics(-1),
        lambda: Photovoltaics(5, 91),
        lambda: Battery(10, 5, charge_efficiency=0),
        lambda: Battery(10, 5, discharge_efficiency=1.01),
        lambda: EvCharger(1.0),
        lambda: HeatPump(3, 8, 0.2, 0.5),
        lambda: Fuse(NAN),
        lambda: Member("h1", joined_at=MONDAY, left_at=MONDAY),
        lambda: Member("h 1"),
        lambda: Member("h1", sharing_coefficient=1.1),
        lambda: community(num_prosumers=0),
        lambda: community(grid_import_limit_kw=-1),
        lambda: community(total_storage_capacity_kwh=float("inf")),
        lambda: community(latitude=48.0),
        lambda: community(latitude=95.0, longitude=0.0),
        lambda: community(currency="EURO"),
        lambda: community(timezone="Nowhere"),
        lambda: community("../x"),
        lambda: community("x\n"),
    ],
)
def test_values_that_break_a_rule_cannot_be_made(make: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        make()  # type: ignore[operator]
    assert len(caught.value.message) > 20


# Errors


def test_an_error_crosses_a_process_boundary_whole() -> None:
    error = Infeasible("no plan", limits=[{"limit": "grid_import_limit_kw", "relax_by": 3.0}])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), again.message, again.facts) == (Infeasible, error.message, error.facts)


def test_every_error_of_the_tree_has_a_name_of_its_own() -> None:
    kinds = [cls.kind for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, TwinError)]
    assert len(kinds) == len(set(kinds)) == 8

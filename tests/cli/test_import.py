"""A meter file is understood as what it is, or refused with the flag that would settle it; never silently wrong."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.meter_files import Truth, long, stamps, truth, wide, write

from digital_twin.cli.meter_files.guesses import MeterFile
from digital_twin.cli.meter_files.meter_file import read_meter_file
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.upload import VALUES_PER_BATCH, batches
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid

ROUNDING = 1e-9  # decimal text and unit factors lose no more than this share
WINTER = datetime(2026, 1, 12, tzinfo=UTC)
VIENNA_SPRING = datetime(2026, 3, 27, 23, tzinfo=UTC)  # local midnight; the 23-hour day is the second one
VIENNA_AUTUMN = datetime(2026, 10, 23, 22, tzinfo=UTC)  # local midnight; the 25-hour day is the second one


def read(text: str | bytes, tmp_path: Path, **options: Any) -> MeterFile:
    path = tmp_path / "meters.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_meter_file(path, ImportOptions(**options))


def refused(text: str | bytes, tmp_path: Path, **options: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read(text, tmp_path, **options)
    return caught.value


def quarter_hours(values: list[Any], column: str = "load [kWh]", start: str = "2026-01-12 00:00") -> str:
    times = pd.date_range(start, periods=len(values), freq="15min").strftime("%Y-%m-%d %H:%M")
    rows = [f"{time},{value}" for time, value in zip(times, values, strict=True)]
    return "\n".join([f"time,{column}", *rows]) + "\n"


def kinds(file: MeterFile) -> dict[str, int]:
    found: dict[str, int] = {}
    for finding in file.findings:
        found[finding.kind] = found.get(finding.kind, 0) + finding.count
    return found


def assert_is(file: MeterFile, expected: Truth) -> None:
    assert {one.key for one in file.columns} == {SeriesKey("load_kw", member) for member in expected.load_kw}
    for one in file.columns:
        assert one.grid == expected.grid
        np.testing.assert_allclose(one.values, expected.load_kw[str(one.key.member_id)], rtol=ROUNDING)


@settings(max_examples=40)
@given(
    start=st.sampled_from([WINTER, VIENNA_SPRING, VIENNA_AUTUMN]),
    step_minutes=st.sampled_from([15, 30, 60]),
    unit=st.sampled_from(["kW", "W", "MW", "kWh", "Wh", "MWh"]),
    zone=st.sampled_from(["UTC", "Europe/Vienna", "America/Los_Angeles", "Asia/Kolkata"]),
    label=st.sampled_from(["start", "end"]),
    form=st.sampled_from(["csv", "german csv", "american csv", "tsv", "parquet", "xlsx"]),
    layout=st.sampled_from(["wide", "long", "long by time", "newest first"]),
    seed=st.integers(0, 99),
)
def test_every_rendering_of_a_truth_imports_as_that_truth(
    start: datetime, step_minutes: int, unit: str, zone: str, label: str, form: str, layout: str, seed: int
) -> None:
    expected = truth(start, 3, step_minutes, members=2, seed=seed)
    times = stamps(expected.grid, zone, label)
    table = wide(expected, times, unit) if layout == "wide" else long(expected, times, unit)
    if layout == "long by time":
        table = table.sort_index(key=lambda index: index % expected.grid.steps, kind="stable")
    if layout == "newest first":
        table = table.iloc[::-1]
    told = {"series": "load_kw", "unit": unit} if layout == "wide" else {}
    with tempfile.TemporaryDirectory() as folder:
        path = write(table, form, Path(folder))
        file = read_meter_file(path, ImportOptions(timezone=zone, label=label, **told))  # type: ignore[arg-type]
    assert_is(file, expected)
    assert file.findings == ()


@given(
    zone=st.sampled_from(["Europe/Vienna", "UTC", "Asia/Kolkata"]),
    written=st.sampled_from(["%Y-%m-%dT%H:%M:%S%z", "%d.%m.%Y %H:%M:%S %z", "epoch"]),
)
@settings(max_examples=10)
def test_times_with_an_offset_need_no_zone(zone: str, written: str) -> None:
    expected = truth(VIENNA_AUTUMN, 2, 60, members=1)
    aware = pd.Series(pd.to_datetime(expected.grid.starts, utc=True)).dt.tz_convert(zone)
    text = aware.astype("int64") // 10**9 if written == "epoch" else aware.map(lambda one: one.strftime(written))
    if aware.dtype.unit == "s" and written == "epoch":
        text = aware.astype("int64")
    with tempfile.TemporaryDirectory() as folder:
        path = write(long(expected, text, "kWh"), "csv", Path(folder))
        assert_is(read_meter_file(path, ImportOptions(label="start")), expected)


# Times


def test_naive_times_are_refused_without_a_zone(tmp_path: Path) -> None:
    error = refused(quarter_hours([1] * 96), tmp_path, community_zone="UTC")
    assert error.facts["field"] == "timezone"
    assert "--timezone" in error.message


def test_the_communitys_own_zone_is_guessed_and_shown(tmp_path: Path) -> None:
    file = read(quarter_hours([1] * 96), tmp_path, community_zone="Europe/Vienna")
    assert file.columns[0].grid.start == datetime(2026, 1, 11, 23, tzinfo=UTC)
    assert any(one.what == "time zone" and one.value == "Europe/Vienna" for one in file.guesses)


def test_a_time_that_the_zone_does_not_have_is_refused(tmp_path: Path) -> None:
    error = refused(quarter_hours([1] * 96, start="2026-03-29 00:00"), tmp_path, timezone="Europe/Vienna")
    assert "--timezone Etc/GMT-1" in error.message


def test_the_repeated_hour_once_is_asked_for(tmp_path: Path) -> None:
    text = quarter_hours([1] * 96, start="2026-10-25 00:00")
    error = refused(text, tmp_path, timezone="Europe/Vienna")
    assert error.facts["field"] == "repeated-hour"
    first = read(text, tmp_path, timezone="Europe/Vienna", repeated_hour="first")
    second = read(text, tmp_path, timezone="Europe/Vienna", repeated_hour="second")
    assert np.isnan(first.columns[0].values[12:16]).all()
    assert np.isnan(second.columns[0].values[8:12]).all()


@pytest.mark.parametrize(
    ("dates", "first_day"),
    [
        (["01/02/2026", "02/02/2026", "03/02/2026"], "2026-02-01"),  # consecutive only as days first
        (["01/30/2026", "01/31/2026", "02/01/2026"], "2026-01-30"),
        (["30/01/2026", "31/01/2026", "01/02/2026"], "2026-01-30"),
        (["01.02.2026", "02.02.2026"], "2026-02-01"),
        (["1.2.26", "2.2.26"], "2026-02-01"),
        (["2026/02/01", "2026/02/02"], "2026-02-01"),
    ],
)
def test_day_and_month_are_told_by_the_dates(dates: list[str], first_day: str, tmp_path: Path) -> None:
    rows = [f"{date} {hour:02}:00;{hour}" for date in dates for hour in range(24)]
    file = read("time;load [kW]\n" + "\n".join(rows), tmp_path, timezone="UTC")
    assert f"{file.columns[0].grid.start:%Y-%m-%d}" == first_day
    assert file.columns[0].grid.steps == 24 * len(dates)


@pytest.mark.parametrize("dates", [["01/02/2026"], ["01/02/2026", "02/03/2026"]])
def test_an_order_of_day_and_month_that_cannot_be_told_is_asked_for(dates: list[str], tmp_path: Path) -> None:
    text = "time;load [kW]\n" + "\n".join(f"{date} {hour:02}:00;{hour}" for date in dates for hour in range(24))
    assert refused(text, tmp_path, timezone="UTC").facts["field"] == "dates"
    file = read(text, tmp_path, timezone="UTC", dates="month-first")
    assert file.columns[0].grid.start == datetime(2026, 1, 2, tzinfo=UTC)


def test_dates_and_clock_may_stand_in_two_columns_and_a_day_may_end_at_24_00(tmp_path: Path) -> None:
    rows = [f"12.01.2026;{hour:02}:00;{hour % 5}" for hour in range(1, 25)]
    file = read("Datum;Uhrzeit;Verbrauch [kWh]\n" + "\n".join(rows), tmp_path, timezone="UTC")
    assert file.columns[0].grid == TimeGrid(WINTER, 24, 60)
    np.testing.assert_array_equal(file.columns[0].values, np.arange(1, 25) % 5)


@pytest.mark.parametrize(
    ("header", "start", "label"),
    [
        ("time", "2026-01-12 00:00", "start"),
        ("time", "2026-01-12 00:15", "end"),
        ("interval start", "2026-01-12 05:00", "start"),
        ("time_end", "2026-01-12 05:00", "end"),
        ("Bis", "2026-01-12 05:00", "end"),
    ],
)
def test_the_label_is_told_by_name_or_by_whole_days(header: str, start: str, label: str, tmp_path: Path) -> None:
    text = quarter_hours([1] * 96, start=start).replace("time,", f"{header},", 1)
    file = read(text, tmp_path, timezone="UTC")
    shift = timedelta(minutes=15 if label == "end" else 0)
    assert file.columns[0].grid.start == datetime.fromisoformat(start).replace(tzinfo=UTC) - shift


def test_a_label_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    error = refused(quarter_hours([1] * 40, start="2026-01-12 05:00"), tmp_path, timezone="UTC")
    assert error.facts["field"] == "label"


def test_a_file_that_changes_its_interval_is_refused(tmp_path: Path) -> None:
    quarters = quarter_hours([1] * 960)
    hours = [f"2026-01-22 {hour:02}:00,4" for hour in range(24)]
    error = refused(quarters + "\n".join(hours), tmp_path, timezone="UTC", label="start")
    assert "60 minutes apart" in error.message


def test_members_of_different_intervals_are_refused(tmp_path: Path) -> None:
    quarters = pd.date_range("2026-01-12", periods=96, freq="15min")
    rows = [f"{time},a,1" for time in quarters] + [f"{time},b,4" for time in quarters[::4]]
    error = refused("time,home,load [kWh]\n" + "\n".join(rows), tmp_path, timezone="UTC", label="start")
    assert "of b" in error.message


def test_excel_dates_are_times(tmp_path: Path) -> None:
    times = pd.date_range("2026-01-12", periods=96, freq="15min") + pd.Timedelta("300us")  # what adding 1/96 leaves
    path = tmp_path / "meters.xlsx"
    pd.DataFrame({"Zeit": times, "Verbrauch [kWh]": 0.25}).to_excel(path, index=False, startrow=3)
    file = read_meter_file(path, ImportOptions(timezone="UTC"))
    assert file.columns[0].grid == TimeGrid(WINTER, 96, 15)
    np.testing.assert_allclose(file.columns[0].values, 1.0)


# Columns, units, members


@pytest.mark.parametrize(
    ("header", "series", "factor"),
    [
        ("load [kWh]", "load_kw", 4.0),
        ("Consumption (W)", "load_kw", 1e-3),
        ("Verbrauch in kWh", "load_kw", 4.0),
        ("pv_kw", "pv_kw", 1.0),
        ("Solar generation Wh", "pv_kw", 4e-3),
        ("netLoad_kW", "net_load_kw", 1.0),
        ("net consumption (kWh)", "net_load_kw", 4.0),
    ],
)
def test_names_tell_series_and_unit(header: str, series: str, factor: float, tmp_path: Path) -> None:
    file = read(quarter_hours([1.5] * 96, header), tmp_path, timezone="UTC")
    assert file.columns[0].key == SeriesKey(series)
    np.testing.assert_allclose(file.columns[0].values, 1.5 * factor)


@pytest.mark.parametrize("header", ["cabinet [kWh]", "7855756", "planet", "weekly"])
def test_a_name_that_says_nothing_is_asked_for(header: str, tmp_path: Path) -> None:
    assert refused(quarter_hours([1.5] * 96, header), tmp_path, timezone="UTC").facts["field"] == "series"


def test_a_unit_that_nothing_says_is_asked_for(tmp_path: Path) -> None:
    assert refused(quarter_hours([1.5] * 96, "load"), tmp_path, timezone="UTC").facts["field"] == "unit"


def test_one_unit_for_columns_that_say_two_is_refused(tmp_path: Path) -> None:
    text = "time,load_kwh,pv_w\n2026-01-12 00:00,1,2\n2026-01-12 01:00,1,2\n"
    assert refused(text, tmp_path, timezone="UTC", unit="kWh").facts["field"] == "unit"


def test_a_wide_file_names_members_by_their_columns(tmp_path: Path) -> None:
    text = "time,home1 load kWh,home1 PV kWh,home2 load kWh\n2026-01-12 00:00,1,2,3\n2026-01-12 01:00,1,2,3\n"
    file = read(text, tmp_path, timezone="UTC", label="start")
    keys = {SeriesKey("load_kw", "home1"), SeriesKey("pv_kw", "home1"), SeriesKey("load_kw", "home2")}
    assert {one.key for one in file.columns} == keys


def test_columns_that_are_not_readings_are_left_out_and_shown(tmp_path: Path) -> None:
    text = ",time,hour,home_1,home_2,total,temperature,comment\n"
    text += "".join(f"{hour},2026-01-12 {hour:02}:00,{hour},1.5,2.5,4,-3,fine\n" for hour in range(24))
    file = read(text, tmp_path, timezone="UTC", series="load_kw", unit="kW")
    assert file.members == ["home_1", "home_2"]
    left_out = {one.what for one in file.guesses if one.value == "left out"}
    names = ("(without a name)", "hour", "total", "temperature", "comment")
    assert left_out == {f"column {name}" for name in names}


def test_two_columns_of_one_series_are_refused(tmp_path: Path) -> None:
    text = "time,load kW,consumption kW\n2026-01-12 00:00,1,2\n2026-01-12 01:00,1,2\n"
    assert refused(text, tmp_path, timezone="UTC", label="start").facts["field"] == "columns"
    chosen = read(text, tmp_path, timezone="UTC", label="start", columns="consumption kW")
    assert chosen.columns[0].values.tolist() == [2.0, 2.0]


def test_members_that_would_share_an_id_are_refused(tmp_path: Path) -> None:
    text = "time,house 1,house_1\n2026-01-12 00:00,1,2\n2026-01-12 01:00,1,2\n"
    assert "house_1" in refused(text, tmp_path, timezone="UTC", label="start", series="load_kw", unit="kW").message


def test_repeated_times_without_a_member_are_refused(tmp_path: Path) -> None:
    text = "time,load kW\n" + "2026-01-12 00:00,1\n2026-01-12 01:00,2\n" * 3
    assert refused(text, tmp_path, timezone="UTC", label="start").facts["field"] == "member-column"


def test_one_members_file_goes_to_that_member(tmp_path: Path) -> None:
    file = read(quarter_hours([1] * 96), tmp_path, timezone="UTC", member="home_7")
    assert file.members == ["home_7"]


def test_numbers_of_members_stay_whole(tmp_path: Path) -> None:
    times = pd.date_range("2026-01-12", periods=24, freq="h")
    table = pd.concat([pd.DataFrame({"time": times, "building": float(one), "load_kwh": 1.0}) for one in (1, 2)])
    path = tmp_path / "meters.parquet"
    table.to_parquet(path)
    assert read_meter_file(path, ImportOptions(timezone="UTC")).members == ["1", "2"]


def test_canonical_names_are_never_left_out(tmp_path: Path) -> None:
    text = "time,load_kw,import_price_per_kwh,temperature_c,storage_soc_kwh\n"
    text += "".join(f"2026-01-12 {hour:02}:00,1.5,{hour % 4 - 0.5},-3,{hour}\n" for hour in range(24))
    file = read(text, tmp_path, timezone="UTC", label="end")
    starts = {one.key.name: one.grid.start for one in file.columns}
    before = WINTER - timedelta(hours=1)
    assert starts == {  # what is of an instant has no interval whose end could be named
        "load_kw": before, "import_price_per_kwh": before, "temperature_c": WINTER, "storage_soc_kwh": WINTER,
    }  # fmt: skip
    assert {one.what: one.value for one in file.guesses}["unit of storage_soc_kwh"] == "kWh, what is stored then"


def test_a_price_may_be_given_in_another_unit(tmp_path: Path) -> None:
    text = quarter_hours([-5, 80] * 48, "spot")
    file = read(text, tmp_path, timezone="UTC", series="import_price_per_kwh", unit="EUR/MWh")
    assert file.columns[0].values[:2].tolist() == [-0.005, 0.08]


def test_a_cell_that_is_no_time_is_shown(tmp_path: Path) -> None:
    error = refused(quarter_hours([1] * 96) + "Total,96\n", tmp_path, timezone="UTC")
    assert "'Total' is no time" in error.message


def test_whole_days_of_the_community_tell_the_label_of_aware_times(tmp_path: Path) -> None:
    text = "time,load_kw\n" + "\n".join(f"2026-01-12T{hour:02}:00:00+01:00,{hour % 5}" for hour in range(24))
    assert refused(text, tmp_path, community_zone="UTC").facts["field"] == "label"
    assert read(text, tmp_path, community_zone="Europe/Vienna").readings == 24


# Registers


def counting(energies: list[float], start: float = 1000.0) -> list[float]:
    return [start, *(start + np.cumsum(energies)).round(6).tolist()]


def test_a_count_that_only_rises_becomes_the_energy_between_its_readings(tmp_path: Path) -> None:
    energies = [0.25 * (1 + hour % 3) for hour in range(96)]
    file = read(quarter_hours(counting(energies)), tmp_path, timezone="UTC")
    assert file.columns[0].grid.start == WINTER  # a count has no label
    np.testing.assert_allclose(file.columns[0].values, np.array(energies) * 4, rtol=ROUNDING)
    assert "a count that rises, taken as differences" in kinds(file)


def test_a_count_that_was_set_back_costs_one_interval(tmp_path: Path) -> None:
    counts = counting([0.5] * 200) + counting([0.5] * 200, start=0.0)
    file = read(quarter_hours(counts), tmp_path, timezone="UTC")
    assert kinds(file)["the count was set back, interval left out"] == 1
    assert np.nanmax(file.columns[0].values) == pytest.approx(2.0)


def test_a_count_of_each_day_is_asked_for(tmp_path: Path) -> None:
    day = [0.0] * 28 + np.cumsum(np.full(40, 0.5)).tolist() + [20.0] * 28
    text = quarter_hours(day * 5, "PV yield [kWh]")
    assert refused(text, tmp_path, timezone="UTC").facts["field"] == "cumulative"
    file = read(text, tmp_path, timezone="UTC", cumulative=True)
    assert np.nanmax(file.columns[0].values) == 2.0
    assert kinds(file)["the count was set back, interval left out"] == 4


def test_a_short_count_is_asked_for(tmp_path: Path) -> None:
    text = quarter_hours(counting([0.5] * 10))
    assert refused(text, tmp_path, timezone="UTC", label="start").facts["field"] == "cumulative"
    file = read(text, tmp_path, timezone="UTC", cumulative=True)
    np.testing.assert_allclose(file.columns[0].values, 2.0)


@pytest.mark.parametrize(
    ("drawn", "fed"),
    [
        ("grid import kWh", "grid export kWh"),
        ("1-0:1.8.0 kWh", "1-0:2.8.0 kWh"),
        ("Netzbezug [kWh]", "Einspeisung [kWh]"),
        ("Energy from grid, import (kWh)", "feed-in (kWh)"),
    ],
)
def test_two_registers_make_the_net_load(drawn: str, fed: str, tmp_path: Path) -> None:
    rows = [f"2026-01-12 {hour:02}:00;{hour % 3};{hour % 2}" for hour in range(24)]
    text = f"time;{drawn};{fed}\n" + "\n".join(rows)
    file = read(text, tmp_path, timezone="UTC")
    assert [one.key for one in file.columns] == [SeriesKey("net_load_kw")]
    expected = [hour % 3 - hour % 2 for hour in range(24)]
    np.testing.assert_array_equal(file.columns[0].values, expected)


def test_registers_with_generation_make_the_load(tmp_path: Path) -> None:
    rows = [f"2026-01-12 {hour:02}:00,1,2,3" for hour in range(24)]
    file = read("time,import kWh,export kWh,pv kWh\n" + "\n".join(rows), tmp_path, timezone="UTC")
    by_name = {one.key.name: one.values for one in file.columns}
    np.testing.assert_array_equal(by_name["load_kw"], np.full(24, 1 - 2 + 3))
    np.testing.assert_array_equal(by_name["pv_kw"], np.full(24, 3))


def test_registers_beside_load_and_generation_are_left_out(tmp_path: Path) -> None:
    rows = [f"2026-01-12 {hour:02}:00,1,2,3,55" for hour in range(24)]
    text = "time,Grid Import (kW),Solar (kW),House Load (kW),Battery SoC (%)\n" + "\n".join(rows)
    file = read(text, tmp_path, timezone="UTC")
    assert {one.key.name: one.values[0] for one in file.columns} == {"load_kw": 3.0, "pv_kw": 2.0}
    assert {one.what for one in file.guesses if one.value == "left out"} == {"registers", "column Battery SoC (%)"}


def test_a_register_by_itself_is_asked_for(tmp_path: Path) -> None:
    assert refused(quarter_hours([1] * 96, "import kWh"), tmp_path, timezone="UTC").facts["field"] == "series"
    file = read(quarter_hours([1] * 96, "import kWh"), tmp_path, timezone="UTC", series="load_kw")
    assert file.columns[0].key.name == "load_kw"


def test_consumption_beside_feed_in_is_asked_for(tmp_path: Path) -> None:
    text = "time,consumption kWh,feed-in kWh\n" + "\n".join(f"2026-01-12 {hour:02}:00,3,1" for hour in range(24))
    assert refused(text, tmp_path, timezone="UTC").facts["field"] == "import-column"
    file = read(text, tmp_path, timezone="UTC", import_column="consumption kWh", export_column="feed-in kWh")
    assert [one.key.name for one in file.columns] == ["net_load_kw"]
    np.testing.assert_array_equal(file.columns[0].values, np.full(24, 2.0))


def test_registers_may_stand_below_each_other(tmp_path: Path) -> None:
    rows = [
        f"2026-01-12 {hour:02}:00;{home};{obis};{value}"
        for home in ("a", "b")
        for obis, value in (("1.8.0", 3), ("2.8.0", 1))
        for hour in range(24)
    ]
    file = read("time;meter;obis;value\n" + "\n".join(rows), tmp_path, timezone="UTC", unit="kWh")
    assert {one.key for one in file.columns} == {SeriesKey("net_load_kw", "a"), SeriesKey("net_load_kw", "b")}
    assert all((one.values == 2.0).all() for one in file.columns)


# Numbers


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0,5", "1.234,5", "12"], [0.5, 1234.5, 12.0]),
        (["0.5", "1234.5", "12"], [0.5, 1234.5, 12.0]),
        (["1'234.5", "0.25", "-3"], [1234.5, 0.25, -3.0]),
        (["1 234,5", "0,25", "−3"], [1234.5, 0.25, -3.0]),
        (["0.5", "1,234.50", "1e1"], [0.5, 1234.5, 10.0]),
    ],
)
def test_numbers_are_read_as_the_world_writes_them(cells: list[str], expected: list[float], tmp_path: Path) -> None:
    rows = [f"2026-01-12 {hour:02}:00;{cell}" for hour, cell in enumerate(cells)]
    file = read("time;net load kW\n" + "\n".join(rows), tmp_path, timezone="UTC", label="start")
    assert file.columns[0].values.tolist() == expected


@pytest.mark.parametrize("cells", [["1.234", "2.345", "987"], ["1,234", "2,345"], ["0,5", "0.5"]])
def test_a_decimal_sign_that_cannot_be_told_is_asked_for(cells: list[str], tmp_path: Path) -> None:
    text = "time;load kW\n" + "\n".join(f"2026-01-12 {hour:02}:00;{cell}" for hour, cell in enumerate(cells))
    assert refused(text, tmp_path, timezone="UTC", label="start").facts["field"] == "decimal"


def test_a_comma_that_is_both_delimiter_and_decimal_sign_is_refused(tmp_path: Path) -> None:
    text = "time,load kWh\n" + "\n".join(f"2026-01-12 {hour:02}:00,0,25" for hour in range(24))
    assert refused(text, tmp_path, timezone="UTC").facts["field"] == "delimiter"


def test_strange_cells_are_counted_or_refused_but_never_nothing(tmp_path: Path) -> None:
    file = read(quarter_hours(["1"] * 95 + ["broken"]), tmp_path, timezone="UTC", label="start")
    assert kinds(file)["cells that are no numbers, left out"] == 1
    assert file.readings == 95
    error = refused(quarter_hours(["1"] * 80 + ["broken"] * 16), tmp_path, timezone="UTC", label="start")
    assert "'broken'" in error.message


# Doubts


def test_gaps_doubles_and_stray_stamps_are_counted(tmp_path: Path) -> None:
    lines = quarter_hours([1 + index for index in range(960)][::-1]).splitlines()
    lines[101:105] = []  # a gap of four
    lines.append(lines[11])  # twice the same
    lines.append(lines[12].rpartition(",")[0] + ",7")  # twice, another value
    lines.append("2026-01-15 07:07,5")
    file = read("\n".join(lines), tmp_path, timezone="UTC", label="start")
    assert kinds(file) == {
        "intervals without a reading": 4,
        "stamps twice with the same value": 1,
        "stamps twice with different values, the last one taken": 1,
        "stamps off the intervals, left out": 1,
    }
    assert file.columns[0].values[11] == 7 * 4


def test_glitches_are_left_out_unless_they_are_wanted(tmp_path: Path) -> None:
    text = quarter_hours([0.25] * 500 + [9999] + [0.25] * 459)
    file = read(text, tmp_path, timezone="UTC", label="start")
    assert kinds(file)["glitches, left out; --keep-glitches keeps them"] == 1
    assert np.isnan(file.columns[0].values[500])
    kept = read(text, tmp_path, timezone="UTC", label="start", keep_glitches=True)
    assert kept.columns[0].values[500] == 9999 * 4


def test_a_rare_hour_of_sun_is_no_glitch(tmp_path: Path) -> None:
    text = quarter_hours([0.4, 0.5] * 480 + [-1.5] * 3, "net load [kWh]")
    file = read(text, tmp_path, timezone="UTC", label="start")
    assert file.findings == ()
    assert np.nanmin(file.columns[0].values) == -6.0


def test_a_time_that_is_far_off_is_refused(tmp_path: Path) -> None:
    error = refused(quarter_hours([1] * 96) + "2126-01-13 00:00,1\n", tmp_path, timezone="UTC", label="start")
    assert "2126-01-13" in error.message


def test_a_sauna_is_no_glitch(tmp_path: Path) -> None:
    file = read(quarter_hours([0.0] * 900 + [2.2] * 4 + [0.01] * 500), tmp_path, timezone="UTC", label="start")
    assert np.nanmax(file.columns[0].values) == pytest.approx(8.8)


def test_negative_loads_are_refused_until_told(tmp_path: Path) -> None:
    text = quarter_hours([1, -1] * 48)
    error = refused(text, tmp_path, timezone="UTC", label="start")
    assert error.facts["field"] == "negatives"
    assert "net_load_kw" in error.message
    clipped = read(text, tmp_path, timezone="UTC", label="start", negatives="clip")
    dropped = read(text, tmp_path, timezone="UTC", label="start", negatives="drop")
    assert clipped.columns[0].values[1] == 0.0
    assert np.isnan(dropped.columns[0].values[1])
    assert read(text, tmp_path, timezone="UTC", label="start", series="net_load_kw").columns[0].values[1] == -4.0


def test_a_dead_meter_is_named(tmp_path: Path) -> None:
    assert kinds(read(quarter_hours([0] * 96), tmp_path, timezone="UTC"))["nothing but zeros"] == 96


# Files


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n", b"time,load [kWh]\n", b"time,load [kWh]\n2026-01-12 00:00,1\n", b"time\n2026-01-12\n2026-01-13\n",
        b"\x00\x01\x02", b"time,load [kWh]\nyesterday,1\ntoday,2\n", b"a,a\n1,2\n3,4\n", b'time,load\n"2026,1\n',
        b"time,load [kWh]\n2026-01-12 00:00,\n2026-01-12 00:15,\n",
        b"time,load [kWh]\n2026-13-12 00:00,1\n2026-13-12 00:15,1\n",
        b"time,load [kWh]\n0001-01-01 00:00,1\n0001-01-01 00:15,1\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", [".csv", ".xlsx", ".parquet"])
def test_what_is_no_meter_file_is_refused_in_a_sentence(content: bytes, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"meters{ending}"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        read_meter_file(path, ImportOptions(timezone="UTC", label="start"))
    assert "\n" not in caught.value.message


@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(max_examples=150)
def test_no_file_crashes_the_reader(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "meters.csv"
        path.write_bytes(content)
        with pytest.raises(InvalidInput):
            read_meter_file(path, ImportOptions(timezone="UTC", label="start"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_text_may_be_encoded_as_windows_does(encoding: str, tmp_path: Path) -> None:
    text = quarter_hours([1] * 96, "Verbrauch Küche (kWh)")
    assert read(text.encode(encoding), tmp_path, timezone="UTC").readings == 96


def test_titles_above_the_table_are_skipped(tmp_path: Path) -> None:
    text = "Meter;AT0010000000\nPeriod;January;;\n\n" + quarter_hours([1] * 96).replace(",", ";")
    assert read(text, tmp_path, timezone="UTC").readings == 96


def test_batches_hold_every_reading_once_and_are_never_too_large() -> None:
    grid = TimeGrid(WINTER, 70_001, 15)
    columns = [SeriesValues(SeriesKey("load_kw", f"m{one}"), grid, np.arange(70_001.0)) for one in range(4)]
    sent = list(batches(columns))
    assert all(sum(part.values.size for part in batch) <= VALUES_PER_BATCH for batch in sent)
    for column in columns:
        parts = [part for batch in sent for part in batch if part.key == column.key]
        np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), column.values)
        starts = [part.grid.start for part in parts]
        assert starts == [grid.instant(sum(part.grid.steps for part in parts[:index])) for index in range(len(parts))]

"""The columns of a meter file: whose they are, of which series and in which unit."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cli.import_cases import WINTER, quarter_hours, read, refused

from digital_twin.cli.meter_files.meter_file import read_meter_file
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.domain.readings import SeriesKey


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
    text = "time,load kW\n" + "".join(f"2026-01-12 00:00,{home}\n2026-01-12 01:00,{home + 1}\n" for home in range(3))
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

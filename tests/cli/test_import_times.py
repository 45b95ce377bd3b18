"""The times of a meter file: zones, days of 23 and 25 hours, dates, labels and intervals."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cli.import_cases import WINTER, quarter_hours, read, refused

from digital_twin.cli.meter_files.meter_file import read_meter_file
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.domain.time import TimeGrid


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

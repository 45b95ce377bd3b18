"""The registers of a meter file: counts that rise, and what came from the grid and went to it."""

from pathlib import Path

import numpy as np
import pytest
from tests.cli.import_cases import ROUNDING, WINTER, kinds, quarter_hours, read, refused

from digital_twin.domain.readings import SeriesKey


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

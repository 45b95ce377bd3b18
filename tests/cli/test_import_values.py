"""The values of a meter file: numbers as the world writes them, and what is doubtful."""

from pathlib import Path

import numpy as np
import pytest
from tests.cli.import_cases import kinds, quarter_hours, read, refused


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


def test_a_file_whose_lines_are_all_there_twice_is_read_once(tmp_path: Path) -> None:
    head, *lines = quarter_hours([1 + index % 7 for index in range(960)]).splitlines()
    once = read("\n".join([head, *lines]), tmp_path, timezone="UTC")
    twice = read("\n".join([head, *lines, *lines]), tmp_path, timezone="UTC")
    [told], [expected] = twice.columns, once.columns
    assert told.grid == expected.grid
    np.testing.assert_array_equal(told.values, expected.values)
    assert kinds(twice)["stamps twice with the same value"] == 960
    changed = [f"{line}1" for line in lines]
    assert "the times repeat" in refused("\n".join([head, *lines, *changed]), tmp_path, timezone="UTC").message


def test_watts_under_a_name_of_kilowatts_are_asked_about(tmp_path: Path) -> None:
    text = quarter_hours([300 + index % 7 for index in range(96)], column="load_kw")
    doubt = "large for a member: is the unit right?"
    assert doubt in kinds(read(text, tmp_path, timezone="UTC", member="home_1"))
    assert doubt not in kinds(read(text, tmp_path, timezone="UTC"))  # a community may need as much
    assert doubt not in kinds(read(text, tmp_path, timezone="UTC", member="home_1", unit="kW"))
    file = read(text, tmp_path, timezone="UTC", member="home_1", unit="W")
    assert doubt not in kinds(file)
    assert 0.3 <= np.nanmedian(file.columns[0].values) <= 0.31


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

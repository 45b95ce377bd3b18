"""A meter file is understood as what it is, or refused with the flag that would settle it; never silently wrong."""

import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.import_cases import ROUNDING, VIENNA_AUTUMN, VIENNA_SPRING, WINTER, quarter_hours, read
from tests.cli.meter_files import Truth, long, stamps, truth, wide, write

from digital_twin.cli.meter_files.guesses import MeterFile
from digital_twin.cli.meter_files.meter_file import read_meter_file
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.upload import VALUES_PER_BATCH, batches
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid


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

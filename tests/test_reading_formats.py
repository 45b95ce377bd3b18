"""Readings in the formats that travel: the same rows mean the same in each, and nothing hostile gets further."""

import contextlib
import csv
import io
import math
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import MONDAY, series

from digital_twin.api.accept import preferred
from digital_twin.api.reading_formats import ARROW, CSV, JSON, PARQUET, written
from digital_twin.api.reading_formats.arrow_bodies import arrow_file_parts, arrow_parts
from digital_twin.api.reading_formats.arrow_messages import MAX_MESSAGE_BYTES
from digital_twin.api.reading_formats.csv_bodies import BLOCK_BYTES, csv_parts
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.quality import WORDS
from digital_twin.domain.readings import SeriesKey
from digital_twin.services.reading_parts import ReadingPart
from digital_twin.services.readings import SeriesAnswer

TEXTS = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()))
UTC_SECONDS = pa.timestamp("s", tz="UTC")
Told = dict[tuple[SeriesKey, int, datetime], list[tuple[float, int]]]
"""Values and flags in the order they were told, by series, resolution and start."""


def table(rows: int = 2, **columns: Any) -> pa.Table:
    """Readings of the community's load from Monday on."""
    starts = pa.array([int(MONDAY.timestamp()) + 900 * row for row in range(rows)], UTC_SECONDS)
    plain = {"series": pa.array(["load_kw"] * rows), "start": starts, "value": pa.array([1.0] * rows)}
    return pa.table({name: column for name, column in {**plain, **columns}.items() if column is not None})


def stream(rows: pa.Table, *, chunk: int = 1000, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    with ipc.new_stream(sink, rows.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(rows, max_chunksize=chunk)
    return sink.getvalue()


def told(parts: Iterator[ReadingPart]) -> Told:
    found: Told = {}
    for part in parts:
        for one in part.readings:
            flags = np.zeros(one.values.size, np.uint8) if one.flags is None else one.flags
            for step, (value, flag) in enumerate(zip(one.values.tolist(), flags.tolist(), strict=True)):
                place = one.key, one.grid.step_minutes, one.grid.instant(step)
                found.setdefault(place, []).append((value, flag))
    return found


def refused(read: Callable[[io.BytesIO], Iterator[ReadingPart]], body: bytes) -> InvalidInput:
    with pytest.raises(InvalidInput) as error:
        list(read(io.BytesIO(body)))
    return error.value


# The same rows


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["load_kw", "pv_kw"]),
        st.sampled_from([None, "h1", "-h2"]),
        st.sampled_from([15, 60]),
        st.integers(0, 30),
        st.one_of(st.none(), st.floats(0, 1e6)),
        st.sampled_from([None, *WORDS[:4]]),
    ),
    min_size=1,
    max_size=40,
)


def one_by_one(rows: Sequence[Any]) -> Told:
    found: Told = {}
    for name, member, minutes, step, value, quality in rows:
        place = SeriesKey(name, member), minutes, MONDAY + timedelta(minutes=step * minutes)
        flag = 0 if value is None or quality is None else WORDS.index(quality)
        found.setdefault(place, []).append((math.nan if value is None else value, flag))
    return found


def as_csv(rows: Sequence[Any]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["start", "series", "quality", "resolution_minutes", "member_id", "value"])
    for name, member, minutes, step, value, quality in rows:
        start = (MONDAY + timedelta(minutes=step * minutes)).isoformat()
        writer.writerow([start, name, quality, minutes, member, value])
    return out.getvalue().encode()


def as_table(rows: Sequence[Any], text: pa.DataType) -> pa.Table:
    names, members, minutes, steps, values, qualities = zip(*rows, strict=True)
    starts = [MONDAY + timedelta(minutes=step * one) for step, one in zip(steps, minutes, strict=True)]

    def words(given: Sequence[str | None]) -> pa.Array:
        plain = pa.array(given, pa.string())
        return plain.dictionary_encode() if pa.types.is_dictionary(text) else plain.cast(text)

    return pa.table(
        {
            "quality": words(qualities),
            "value": pa.array(values, pa.float64()),
            "start": pa.array(starts, pa.timestamp("ns", tz="Asia/Kathmandu")),
            "series": words(names),
            "resolution_minutes": pa.array(minutes, pa.uint8()),
            "member_id": words(members),
        }
    )


@given(ROWS, st.sampled_from(TEXTS), st.sampled_from([None, "lz4", "zstd"]))
def test_rows_mean_in_csv_and_in_every_kind_of_arrow_what_they_mean_one_by_one(
    rows: list[Any], text: pa.DataType, compression: str | None
) -> None:
    expected = one_by_one(rows)
    body = stream(as_table(rows, text), chunk=7, compression=compression)
    for found in (told(csv_parts(io.BytesIO(as_csv(rows)))), told(arrow_parts(io.BytesIO(body)))):
        assert found.keys() == expected.keys()
        for place, values in expected.items():
            np.testing.assert_array_equal(found[place], values)


def test_a_frame_of_pandas_is_readings_in_three_lines() -> None:
    starts = pd.date_range("2026-03-02", periods=4, freq="15min", tz="Europe/Vienna")
    frame = pd.DataFrame({"series": "load_kw", "start": starts, "value": [1, 2, None, 4]})
    written_file = io.BytesIO()
    frame.to_feather(written_file)  # an Arrow file, packed by default
    for found in (
        told(arrow_parts(io.BytesIO(stream(pa.Table.from_pandas(frame, preserve_index=False))))),
        told(arrow_file_parts(io.BytesIO(written_file.getvalue()))),
    ):
        values = [value for ((value, _),) in found.values()]
        np.testing.assert_array_equal(values, [1, 2, math.nan, 4])
        assert min(start for _, _, start in found) == datetime(2026, 3, 1, 23, tzinfo=UTC)


@pytest.mark.parametrize("kind", [pa.float32(), pa.int8(), pa.uint64()])
def test_values_may_be_of_any_kind_of_number(kind: pa.DataType) -> None:
    found = told(arrow_parts(io.BytesIO(stream(table(value=pa.array([3, None], kind))))))
    np.testing.assert_array_equal([value for ((value, _),) in found.values()], [3, math.nan])


# Out and in again


async def body_of(media_type: str, *spans: list[SeriesAnswer]) -> bytes:
    async def told_one_by_one() -> AsyncIterator[list[SeriesAnswer]]:
        for span in spans:
            yield span

    return b"".join([part async for part in written(told_one_by_one(), media_type)])


def read_again(media_type: str, body: bytes) -> Told:
    if media_type == CSV:
        return told(csv_parts(io.BytesIO(body)))
    if media_type == PARQUET:
        body = stream(parquet.read_table(io.BytesIO(body)))
    return told(arrow_parts(io.BytesIO(body)))


@pytest.mark.parametrize("media_type", [CSV, ARROW, PARQUET])
async def test_what_goes_out_comes_in_again_with_its_qualities_and_without_gaps(media_type: str) -> None:
    first = series("load_kw", [41.3, math.nan, 1e-7, 0.1], member="-home")
    flagged = replace(first, flags=np.array([1, 0, 0, 3], dtype=np.uint8))
    second = series("pv_kw", [1 / 3, 123456.7], minutes=60, asset="roof", start=MONDAY + timedelta(days=400))
    body = await body_of(media_type, [SeriesAnswer(flagged)], [SeriesAnswer(second), SeriesAnswer(first)])
    quarter = timedelta(minutes=15)
    home, roof = (SeriesKey("load_kw", "-home"), 15), (SeriesKey("pv_kw", None, "roof"), 60)
    assert read_again(media_type, body) == {
        (*home, MONDAY): [(41.3, 1), (41.3, 0)],
        (*home, MONDAY + 2 * quarter): [(1e-7, 0), (1e-7, 0)],
        (*home, MONDAY + 3 * quarter): [(0.1, 3), (0.1, 0)],
        (*roof, second.grid.start): [(1 / 3, 0)],
        (*roof, second.grid.start + timedelta(hours=1)): [(123456.7, 0)],
    }


async def test_csv_holds_no_cell_that_a_spreadsheet_would_compute() -> None:
    text = (await body_of(CSV, [SeriesAnswer(series("load_kw", [1.0], member="-home"))])).decode()
    assert not any(cell[:1] in "=+-@" for row in csv.reader(io.StringIO(text)) for cell in row if cell)


async def test_an_answer_without_readings_is_a_table_without_rows() -> None:
    nothing = [SeriesAnswer(series("load_kw", [math.nan]))]
    assert (await body_of(CSV, nothing)).decode().splitlines() == [
        '"series","start","value","member_id","asset_id","resolution_minutes","quality"'
    ]
    with ipc.open_stream(await body_of(ARROW, nothing)) as reader:
        assert reader.read_all().num_rows == 0
    assert parquet.read_table(io.BytesIO(await body_of(PARQUET, nothing))).num_rows == 0


# Where something is wrong


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("load_kw,2026-03-02T00:00:00Z,one", "number"),
        ("load_kw,2026-03-02T00:00:00Z,1_0", "number"),
        ("load_kw,2026-03-02T00:00:00Z,0x10", "number"),
        ("load_kw,2026-03-02T00:00:00Z,1,5", "point"),
        ("load_kw,2026-03-02T00:00:00Z", "missing"),
        ("load_kw,2026-03-02T00:00:00.5Z,1", "whole seconds"),
        ("load_kw,2026-03-02T00:00:00,1", "time zone"),
        ("load,2026-03-02T00:00:00Z,1", "unit"),
        (",2026-03-02T00:00:00Z,1", "series|name"),
        ("load_kw,,1", "RFC 3339"),
    ],
)
def test_a_line_of_csv_that_cannot_be_understood_is_named(line: str, said: str) -> None:
    good = "load_kw,2026-03-02T01:00:00Z,1\n"
    error = refused(csv_parts, f"series,start,value\n{good}\n\r\n{good}{line}\n{good}".encode())
    assert error.facts["field"] == "line 6"
    assert re.search(said, error.message), error.message
    assert "2026" not in error.message


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("2026-03-02T00:07:00Z", "multiple of 15 minutes"),
        ("1969-12-31T23:45:00Z", "1970..2100"),
        ("2106-02-07T06:28:15Z", "1970..2100"),
        ("0001-01-01T00:00:00Z", "1970..2100"),
    ],
)
def test_rows_of_a_wrong_clock_are_named_one_by_one_and_the_others_read(start: str, said: str) -> None:
    good = "load_kw,2026-03-02T01:00:00Z,1\n"
    [part] = csv_parts(io.BytesIO(f"series,start,value\n{good}load_kw,{start},2\n{good}load_kw,{start},\n".encode()))
    [misplaced] = part.misplaced
    assert (misplaced.position, len(told(iter([part])))) == ("/line 3", 1)
    assert said in misplaced.rejection.reason
    seconds = int(datetime.fromisoformat(start).timestamp())
    starts = pa.array([int(MONDAY.timestamp()), seconds], UTC_SECONDS)
    [batch] = arrow_parts(io.BytesIO(stream(table(start=starts))))
    assert [(one.position, one.rejection) for one in batch.misplaced] == [("/row 1", misplaced.rejection)]


def test_a_column_that_is_there_twice_is_named() -> None:
    assert (
        "it has 'value' twice"
        in refused(csv_parts, b"series,start,value,value\nload_kw,2026-03-02T00:00:00Z,1,2\n").message
    )


def test_lines_are_counted_from_block_to_block() -> None:
    line = b"load_kw,2026-03-02T00:00:00Z,1.0\n"
    lines = BLOCK_BYTES // len(line) + 2
    body = b"series,start,value\n" + line * lines + b"\nload_kw,2026-03-02T00:00:00Z,wrong\n"
    assert refused(csv_parts, body).facts["field"] == f"line {lines + 3}"


def test_a_line_without_end_is_refused() -> None:
    body = b"series,start,value\n" + b"load_kw,2026-03-02T00:00:00Z,1\n" * (BLOCK_BYTES // 31) + b"x" * 2**20
    assert "a line of more than" in refused(csv_parts, body).message


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("start", pa.array([int(MONDAY.timestamp()), None], UTC_SECONDS), "row 1: start is missing"),
        ("start", pa.array([0, 1], pa.timestamp("ms", tz="UTC")), "row 1: start must be a whole second"),
        ("series", pa.array(["load_kw", "load"]), "row 1: the name of a series must end in its unit"),
        ("series", pa.array(["load_kw", None]), "row 1: name must be a lower-case name"),
        ("member_id", pa.array([None, "no/slash"]), "row 1: member_id must be"),
        ("quality", pa.array([None, "good"]), "row 1: quality must be one of measured"),
        ("quality", pa.array([None, "missing"]), "row 1: a value that is there cannot be missing"),
    ],
)
def test_a_row_of_arrow_that_cannot_be_understood_is_named(column: str, values: pa.Array, said: str) -> None:
    assert refused(arrow_parts, stream(table(**{column: values}), chunk=2)).message.startswith(said)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"value": None}, "needs the columns series, start, value and may have"),
        ({"value": None}, "it lacks value"),
        ({"colour": pa.array(["red", "red"])}, "it has 'colour'"),
        ({"start": pa.array([0, 900], pa.timestamp("s"))}, "with a time zone"),
        ({"start": pa.array(["2026-03-02T00:00:00Z"] * 2)}, "timestamps"),
        ({"start": pa.array([0, 900], pa.timestamp("s", tz="Mars/Base"))}, "IANA name"),
        ({"value": pa.array(["1", "2"])}, "float64"),
        ({"value": pa.array([[1.0], [2.0]])}, "float64"),
        ({"value": pa.array([{"a": 1.0}, None])}, "float64"),
        ({"value": pa.nulls(2)}, "float64"),
        ({"series": pa.array([b"load_kw"] * 2)}, "text"),
        ({"series": pa.array([1, 2]).dictionary_encode()}, "text"),
        ({"series": pa.array([["load_kw"]] * 2)}, "text"),
        ({"series": pa.nulls(2)}, "text"),
        ({"resolution_minutes": pa.array([15.0, 15.0])}, "whole numbers"),
        ({"resolution_minutes": pa.array([7, 7])}, "resolution_minutes must be one of"),
    ],
)
def test_columns_that_are_no_readings_are_refused(columns: dict[str, Any], said: str) -> None:
    assert said in refused(arrow_parts, stream(table(**columns))).message


# What is hostile


def with_bytes(body: bytes, place: int, new: bytes) -> bytes:
    return body[:place] + new + body[place + len(new) :]


def test_a_stream_that_is_cut_anywhere_but_at_a_byte_of_its_end_is_refused() -> None:
    whole = stream(table(5), chunk=2)
    assert list(arrow_parts(io.BytesIO(whole)))
    for length in range(len(whole)):
        refused(arrow_parts, whole[:length])


@pytest.mark.parametrize("size", [2**31 - 1, -1, 2**20 + 1])
def test_a_length_of_metadata_is_not_believed(size: int) -> None:
    refused(arrow_parts, with_bytes(stream(table()), 4, size.to_bytes(4, "little", signed=True)))


def test_a_batch_that_is_too_large_is_refused_with_the_way_to_make_it_smaller() -> None:
    rows = MAX_MESSAGE_BYTES // 16 + 1
    zeros = np.zeros(rows, dtype=np.int64)
    large = table(rows, series=pa.array(["load_kw"] * rows).dictionary_encode(), start=pa.array(zeros, UTC_SECONDS))
    assert "max_chunksize" in refused(arrow_parts, stream(large, chunk=rows)).message


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_bomb_is_not_unpacked(compression: str) -> None:
    rows = MAX_MESSAGE_BYTES // 16 + 1
    zeros = np.zeros(rows, dtype=np.int64)
    bomb = table(
        rows,
        series=pa.array(["load_kw"] * rows).dictionary_encode(),
        start=pa.array(zeros, UTC_SECONDS),
        value=pa.array(zeros),
    )
    body = stream(bomb, chunk=rows, compression=compression)
    assert len(body) < MAX_MESSAGE_BYTES // 50
    assert "at most 64 MiB" in refused(arrow_parts, body).message


def test_views_of_one_long_word_are_refused_before_any_is_copied() -> None:
    words = pa.array(["x" * 10_000] * 2, pa.string_view())
    assert "64 characters" in refused(arrow_parts, stream(table(series=words))).message


def test_a_dictionary_of_more_words_than_anyone_has_series_is_refused() -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([f"h{number}" for number in range(100_001)]))
    assert "at most 100000 words" in refused(arrow_parts, stream(table(member_id=words))).message


def test_a_dictionary_that_grows_is_refused() -> None:
    sink = io.BytesIO()
    schema = table(series=pa.array(["load_kw", "pv_kw"]).dictionary_encode()).schema
    options = ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with ipc.new_stream(sink, schema, options=options) as writer:
        for words in (["load_kw"], ["load_kw", "pv_kw"]):
            encoded = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(words))
            writer.write_table(table(1, series=encoded).cast(schema))
    assert "deltas" in refused(arrow_parts, sink.getvalue()).message


SEEDS = [stream(as_table([("load_kw", "h1", 15, 0, 1.0, "suspect")] * 3, text), chunk=2, compression=packed)
         for text in TEXTS for packed in (None, "lz4", "zstd")]  # fmt: skip
EVIL = (2**63 - 1, -(2**63), -1, 0, 2**40, 2**31, 64)
DAMAGE = st.tuples(st.floats(0, 1), st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from(EVIL)))


@settings(max_examples=500)
@given(st.sampled_from(SEEDS), st.lists(DAMAGE, min_size=1, max_size=4))
def test_whatever_is_damaged_in_a_stream_it_is_read_or_refused(seed: bytes, damages: list[Any]) -> None:
    body = seed
    for place, new in damages:
        found = new if isinstance(new, bytes) else new.to_bytes(8, "little", signed=True)
        body = with_bytes(body, int(place * (len(seed) - 8)), found)
    with contextlib.suppress(InvalidInput):
        list(arrow_parts(io.BytesIO(body)))


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_after_a_header_of_csv_are_read_or_refused(rest: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        list(csv_parts(io.BytesIO(b"series,start,value\n" + rest)))


# Accept


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV; header=present", CSV),
        (f"{ARROW}, {JSON};q=0.9", ARROW),
        (f"{JSON};q=0.5, text/csv;q=0.8, {PARQUET};q=0.1", CSV),
        ("application/*;q=0.2, text/*;q=0.3", CSV),
        (f"{JSON};q=0, */*", CSV),
        (f"*/*;q=0.1, {PARQUET};q=0.2", PARQUET),
        ("text/*;q=0, */*;q=0.5", JSON),
        ("text/html", None),
        ("text/csv;q=0", None),
        ("text/csv;q=0.000, text/html", None),
        ("text/csv;q=nonsense", CSV),
    ],
)
def test_the_best_liked_format_is_chosen_and_none_where_none_is_liked(accept: str | None, expected: str | None) -> None:
    assert preferred(accept, (JSON, CSV, ARROW, PARQUET)) == expected

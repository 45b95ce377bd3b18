"""Readings out, span after span: CSV, Arrow and Parquet in the form that comes in again."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.ipc as ipc

from digital_twin.api.reading_formats.media_types import ARROW, CSV, PARQUET
from digital_twin.domain.quality import WORDS
from digital_twin.domain.readings import SeriesValues
from digital_twin.services.readings import SeriesAnswer

_WORD = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Any = pa.schema(
    [
        pa.field("series", _WORD, nullable=False),
        pa.field("start", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("member_id", _WORD),
        pa.field("asset_id", _WORD),
        pa.field("resolution_minutes", pa.int32(), nullable=False),
        pa.field("quality", _WORD, nullable=False),
    ]
)
"""A row for each reading that there is."""


class _Writer(Protocol):
    def write_table(self, table: Any) -> None: ...
    def close(self) -> None: ...


async def written(spans: AsyncIterator[list[SeriesAnswer]], media_type: str) -> AsyncIterator[bytes]:
    """The bytes of an answer, those of each span as soon as it is read."""
    async for part in written_tables((table_of(span) async for span in spans), SCHEMA, media_type):
        yield part


async def written_tables(tables: AsyncIterator[Any], schema: Any, media_type: str) -> AsyncIterator[bytes]:
    """The bytes of tables of one schema, one after the other."""
    sink = _Sink()
    writer = _WRITERS[media_type](sink, schema)
    async for table in tables:
        await asyncio.to_thread(writer.write_table, table)
        yield sink.taken()
    writer.close()
    yield sink.taken()


def table_of(span: Sequence[SeriesAnswer]) -> Any:
    """A table of readings in the order of the series."""
    readings = [answer.readings for answer in span]
    known = [~np.isnan(one.values) for one in readings]
    rows = [int(np.count_nonzero(one)) for one in known]
    keys = [one.key for one in readings]
    minutes = [one.grid.step_minutes for one in readings]
    columns = [
        _repeated([key.name for key in keys], rows),
        pa.array(_joined([_starts_us(one)[there] for one, there in zip(readings, known, strict=True)], np.int64)),
        pa.array(_joined([one.values[there] for one, there in zip(readings, known, strict=True)], np.float64)),
        _repeated([key.member_id for key in keys], rows),
        _repeated([key.asset_id for key in keys], rows),
        pa.array(np.repeat(np.array(minutes, dtype=np.int32), rows)),
        _qualities(readings, known),
    ]
    columns[1] = columns[1].cast(SCHEMA.field("start").type)
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _joined(parts: Sequence[Any], kind: Any) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, kind)


def _starts_us(one: SeriesValues) -> Any:
    return one.grid.starts.astype("datetime64[us]").astype(np.int64)


def _repeated(words: Sequence[str | None], rows: Sequence[int]) -> Any:
    """Each word as often as its series has rows."""
    listed = list(dict.fromkeys(word for word in words if word is not None))
    places = np.array([-1 if word is None else listed.index(word) for word in words], dtype=np.int32)
    indices = np.repeat(places, rows)
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), pa.array(listed, pa.string()))


def _qualities(readings: Sequence[SeriesValues], known: Sequence[Any]) -> Any:
    flags = [
        np.zeros(np.count_nonzero(there), np.uint8) if one.flags is None else one.flags[there]
        for one, there in zip(readings, known, strict=True)
    ]
    return pa.DictionaryArray.from_arrays(pa.array(_joined(flags, np.uint8).astype(np.int32)), pa.array(WORDS))


class _Sink(io.RawIOBase):
    """What was written since it was last taken."""

    def __init__(self) -> None:
        self._written = bytearray()
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        self._written += data
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def taken(self) -> bytes:
        """The new bytes."""
        found = bytes(self._written)
        self._written.clear()
        return found


class _CsvWriter:
    """Text starting like a formula is neutralised: an id that starts with `-` gets an apostrophe before it."""

    def __init__(self, sink: _Sink, schema: Any) -> None:
        self._sink = pa.PythonFile(sink, mode="w")
        self._words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        self._options = arrow_csv.WriteOptions(include_header=True, quoting_style="needed")

    def write_table(self, table: Any) -> None:
        for name in self._words:
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, _safe(table.column(name)))
        place = table.schema.get_field_index("start")
        starts = table.column("start").cast(pa.timestamp("s")).to_numpy()
        texts = pa.array(np.char.add(np.datetime_as_string(starts, unit="s"), "Z"), pa.string())
        arrow_csv.write_csv(table.set_column(place, "start", texts), self._sink, self._options)
        self._options.include_header = False

    def close(self) -> None:
        """There is nothing after the last line."""


def _safe(column: Any) -> Any:
    words = column.combine_chunks()
    listed = [f"'{word}" if word.startswith("-") else word for word in words.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(words.indices, pa.array(listed, pa.string())).cast(pa.string())


def _parquet_writer(sink: _Sink, schema: Any) -> _Writer:
    import pyarrow.parquet as parquet

    return parquet.ParquetWriter(sink, schema, compression="zstd")


_WRITERS: dict[str, Callable[[_Sink, Any], _Writer]] = {
    CSV: _CsvWriter,
    ARROW: ipc.new_stream,
    PARQUET: _parquet_writer,
}

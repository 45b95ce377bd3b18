"""Readings as the client sends them: columns of JSON, or a table of Arrow with a row for each."""

# pyarrow has no types of its own
# pyright: reportUnknownParameterType=false

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from digital_twin.domain.quality import WORDS, quality_words
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.units import canonical_unit

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_BATCH = 100_000


def column(series: SeriesValues) -> dict[str, Any]:
    """One series as a column of JSON."""
    unit, kind = canonical_unit(series.key.name)
    told = None if series.flags is None else quality_words(series.values, series.flags)
    found = {
        "name": series.key.name,
        "unit": unit,
        "kind": kind.value,
        "member_id": series.key.member_id,
        "asset_id": series.key.asset_id,
        "start": series.grid.start.isoformat(),
        "resolution_minutes": series.grid.step_minutes,
        "values": [None if value != value else value for value in series.values.tolist()],
        "quality": told,
    }
    return {name: value for name, value in found.items() if value is not None}


def table(readings: Sequence[SeriesValues]) -> "pa.Table":
    """A row for each value of each series, in order."""
    import pyarrow as pa

    rows = [one.values.size for one in readings]
    starts = np.concatenate([one.grid.starts.astype(np.int64) for one in readings])
    columns = {
        "series": _repeated([one.key.name for one in readings], rows),
        "start": pa.array(starts, pa.int64()).cast(pa.timestamp("s", tz="UTC")),
        "value": pa.array(np.concatenate([one.values for one in readings]), from_pandas=True),
        "member_id": _repeated([one.key.member_id for one in readings], rows),
        "asset_id": _repeated([one.key.asset_id for one in readings], rows),
        "resolution_minutes": pa.array(np.repeat([one.grid.step_minutes for one in readings], rows), pa.int64()),
    }
    if any(one.flags is not None for one in readings):
        flags = [np.zeros(one.values.size, np.uint8) if one.flags is None else one.flags for one in readings]
        indices = pa.array(np.concatenate(flags).astype(np.int32))
        columns["quality"] = pa.DictionaryArray.from_arrays(indices, pa.array(WORDS))
    return pa.table(columns)


def _repeated(words: Sequence[str | None], rows: Sequence[int]) -> "pa.DictionaryArray":
    """Each word as often as its series has rows."""
    import pyarrow as pa

    listed = pa.array(words, pa.string()).dictionary_encode()
    return listed.take(pa.array(np.repeat(np.arange(len(words)), rows)))


def arrow_table(given: Any) -> "pa.Table":
    """A table of pyarrow, pandas or polars, without the row numbers that pandas keeps after a `concat` or a filter."""
    import pyarrow as pa

    found = pa.table(given)
    return found.drop_columns([name for name in found.column_names if name.startswith("__index_level_")])


@dataclass(frozen=True, slots=True)
class ArrowStream:
    """A table as the bytes of an Arrow stream, as often as they are asked for: a request may be sent twice."""

    table: "pa.Table"

    def __iter__(self) -> Iterator[bytes]:
        import pyarrow.ipc as ipc

        sink = io.BytesIO()
        with ipc.new_stream(sink, self.table.schema) as writer:
            for batch in self.table.to_batches(max_chunksize=ROWS_PER_BATCH):
                writer.write_batch(batch)
                yield _taken(sink)
        yield _taken(sink)


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since it was last taken; messages of a stream may begin at any multiple of 8."""
    found = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return found


def read_table(body: bytes) -> "pa.Table":
    """The table of an Arrow stream."""
    import pyarrow.ipc as ipc

    with ipc.open_stream(body) as reader:
        return reader.read_all()

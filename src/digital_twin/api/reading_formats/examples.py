"""Bodies for the OpenAPI document, made by the code that reads them; binary ones in base64."""

import base64
import io
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc

CSV_EXAMPLE = "series,start,value\nload_kw,2026-03-01T00:00:00Z,41.5\n"


def _table() -> Any:
    starts = pa.array([1772323200], pa.timestamp("s", tz="UTC"))  # 2026-03-01T00:00:00Z
    return pa.table({"series": ["load_kw"], "start": starts, "value": [41.5]})


def _in_base64(make: Any) -> str:
    table, sink = _table(), io.BytesIO()
    with make(sink, table.schema) as writer:
        writer.write_table(table)
    return base64.b64encode(sink.getvalue()).decode()


ARROW_EXAMPLE = _in_base64(ipc.new_stream)
ARROW_FILE_EXAMPLE = _in_base64(ipc.new_file)

"""Arrow in: record batches of a stream or a file, one after the other."""

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

from digital_twin.api.reading_formats.arrow_messages import MessageSource
from digital_twin.api.reading_formats.table_rows import READINGS_AT_ONCE, REQUIRED, Listed, TableRows, check_names
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.reading_rows import Places
from digital_twin.domain.time import time_zone
from digital_twin.services.reading_parts import ReadingPart

MAGIC = b"ARROW1\0\0"
LONGEST_WORD = 64
LONGEST_DICTIONARY = 100_000

_OFFSET = re.compile(r"[+-]\d\d:\d\d\Z")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def arrow_parts(file: BinaryIO) -> Iterator[ReadingPart]:
    """The readings of an Arrow stream, a bounded number of rows at a time.

    Raises:
        InvalidInput: it is no stream, has other columns, or a row cannot be understood; the row is named.
    """
    try:
        with ipc.open_stream(MessageSource(file)) as reader:
            _check_schema(reader.schema)
            first = 0
            for batch in reader:
                batch.validate(full=True)
                for start in range(0, batch.num_rows, READINGS_AT_ONCE):
                    yield _part(batch.slice(start, READINGS_AT_ONCE), first + start)
                first += batch.num_rows
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise InvalidInput("the Arrow stream is damaged, or no stream at all") from error


def arrow_file_parts(file: BinaryIO) -> Iterator[ReadingPart]:
    """The same of an Arrow file, which is a stream with a word before and a list behind it."""
    if file.read(len(MAGIC)) != MAGIC:
        raise InvalidInput("the body is no Arrow file")
    return arrow_parts(file)


def _part(batch: Any, first_row: int) -> ReadingPart:
    def place(row: int) -> str:
        return f"row {first_row + row}"

    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    seconds = _seconds(columns.pop("start"), place)
    values = columns.pop("value").cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return TableRows({name: _listed(column) for name, column in columns.items()}, seconds, values, place).part()


def _seconds(column: Any, place: Callable[[int], str]) -> Places:
    if column.null_count:
        field = place(int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))))
        raise InvalidInput(f"{field}: start is missing", field=field)
    ticks, per_second = column.cast(pa.int64()).to_numpy(), _PER_SECOND[column.type.unit]
    if per_second == 1:
        return ticks
    seconds, rest = np.divmod(ticks, per_second)
    if rest.any():
        field = place(int(np.argmax(rest != 0)))
        raise InvalidInput(f"{field}: start must be a whole second", field=field)
    return seconds


def _listed(column: Any) -> Listed:
    if pa.types.is_null(column.type):
        return Listed.absent(len(column))
    words = column.dictionary if pa.types.is_dictionary(column.type) else column
    if pa.types.is_string_view(words.type):
        _check_views(words)
    if words is not column and len(words) > LONGEST_DICTIONARY:
        raise InvalidInput(f"a dictionary may list at most {LONGEST_DICTIONARY} words")
    return Listed.of(column)


def _check_views(words: Any) -> None:
    """Each view is a length and a place, so that a few bytes can claim to be many; checked before any is copied."""
    end = words.offset + len(words)
    lengths = np.frombuffer(words.buffers()[1], np.int32, 4 * end)[4 * words.offset :: 4]
    if lengths.size and int(lengths.max()) > LONGEST_WORD:
        raise InvalidInput(f"words of a column have at most {LONGEST_WORD} characters")


def _check_schema(schema: Any) -> None:
    check_names(schema.names, "the Arrow table")
    for name, kind in zip(schema.names, schema.types, strict=True):
        if name == "start":
            _check_start(kind)
        elif name == "value":
            if not (kind in (pa.float32(), pa.float64()) or pa.types.is_integer(kind)):
                raise InvalidInput("the column value must be of float64, float32 or whole numbers", field=name)
        elif pa.types.is_null(kind) and name not in REQUIRED:
            continue
        elif name == "resolution_minutes":
            if not pa.types.is_integer(kind):
                raise InvalidInput("the column resolution_minutes must be of whole numbers", field=name)
        elif not _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise InvalidInput(f"the column {name} must be of text, plain or dictionary-encoded", field=name)


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _check_start(kind: Any) -> None:
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        raise InvalidInput(
            "the column start must be of timestamps with a time zone, such as timestamp('us', tz='UTC')", field="start"
        )
    if not _OFFSET.match(kind.tz):
        try:
            time_zone(kind.tz)
        except InvalidInput as error:
            raise InvalidInput("the time zone of start must be an IANA name or an offset", field="start") from error

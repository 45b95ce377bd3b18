"""PostgreSQL's binary formats as numpy records: whole columns go over the wire without a loop in Python."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from digital_twin.domain.series_days import DayRows, Slots

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
COPY_END = b"\xff\xff"

_INT4, _DATE, _FLOAT4 = 23, 1082, 700
_INT4_ARRAY, _DATE_ARRAY = 1007, 1182
_ROWS_A_CHUNK = 256
_EPOCH_DAYS = 10_957
"""PostgreSQL counts days from 2000-01-01, numpy from 1970-01-01."""


class Int4Array:
    """A one-dimensional `int4[]` parameter."""

    element = _INT4

    def __init__(self, values: NDArray[np.int64]) -> None:
        body = np.empty(values.size, np.dtype([("length", ">i4"), ("value", ">i4")]))
        body["length"], body["value"] = 4, values
        dimensions = [values.size, 1] if values.size else []
        head = np.array([1 if values.size else 0, 0, self.element, *dimensions], ">i4")
        self.data = head.tobytes() + body.tobytes()


class DateArray(Int4Array):
    """A one-dimensional `date[]` parameter from days since 1970-01-01."""

    element = _DATE

    def __init__(self, days: NDArray[np.int64]) -> None:
        super().__init__(days - _EPOCH_DAYS)


class _Int4ArrayDumper(Dumper):
    format = Format.BINARY
    oid = _INT4_ARRAY

    def dump(self, obj: Int4Array) -> Buffer:
        return obj.data


class _DateArrayDumper(_Int4ArrayDumper):
    oid = _DATE_ARRAY


def register(adapters: Any) -> None:
    """Teach a connection's adapters the array parameters."""
    adapters.register_dumper(Int4Array, _Int4ArrayDumper)
    adapters.register_dumper(DateArray, _DateArrayDumper)


def _array_dtype(slots: int, value: str = ">f4") -> np.dtype[Any]:
    """An array value: dimensions, flags, element type, length, lower bound, then (length, element) pairs."""
    element = np.dtype([("length", ">i4"), ("value", value)])
    head = [(name, ">i4") for name in ("dimensions", "flags", "type", "size", "lower")]
    return np.dtype([*head, ("elements", element, (slots,))])


def copy_chunks(community: int, rows: DayRows) -> Iterator[bytes]:
    """COPY BINARY of (community, day, series, slots), in chunks that stay in the processor's cache."""
    yield COPY_HEADER
    records = _empty_records(community, rows.slots.shape[1])
    for first in range(0, rows.size, _ROWS_A_CHUNK):
        part = slice(first, first + _ROWS_A_CHUNK)
        chunk = records[: rows.day[part].size]
        chunk["day"] = rows.day[part] - _EPOCH_DAYS
        chunk["series"] = rows.series[part]
        chunk["slots"]["elements"]["value"] = rows.slots[part]
        yield chunk.tobytes()
    yield COPY_END


def _empty_records(community: int, slots: int) -> NDArray[Any]:
    """A chunk of records in which day, series and values are still to be set."""
    array = _array_dtype(slots)
    fields = [("fields", ">i2"), ("length_1", ">i4"), ("community", ">i8"), ("length_2", ">i4"), ("day", ">i4")]
    fields += [("length_3", ">i4"), ("series", ">i4"), ("length_4", ">i4")]
    records = np.zeros(_ROWS_A_CHUNK, np.dtype([*fields, ("slots", array)]))
    records["fields"], records["length_1"], records["community"] = 4, 8, community
    records["length_2"], records["length_3"], records["length_4"] = 4, 4, array.itemsize
    for name, value in (("dimensions", 1), ("type", _FLOAT4), ("size", slots), ("lower", 1)):
        records["slots"][name] = value
    records["slots"]["elements"]["length"] = 4
    return records


def read_slots(data: bytes, slots: int) -> Slots:
    """Rows of concatenated `array_send(real[])` values, all of one length."""
    return read_arrays(data, slots, ">f4").astype(np.float32)


def read_arrays(data: bytes, slots: int, value: str) -> NDArray[Any]:
    """Rows of concatenated `array_send` values of one length, their elements of this numpy type."""
    rows: NDArray[Any] = np.frombuffer(data, _array_dtype(slots, value))["elements"]["value"]
    return rows


def read_int4(data: bytes) -> NDArray[np.int64]:
    """Concatenated `int4send` values."""
    return np.frombuffer(data, ">i4").astype(np.int64)

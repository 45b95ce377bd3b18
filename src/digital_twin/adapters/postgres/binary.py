"""PostgreSQL's binary formats as numpy records: whole columns go over the wire without a loop in Python."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from digital_twin.domain.series_days import Slots

_INT4, _DATE, _FLOAT4 = 23, 1082, 700
_INT4_ARRAY, _DATE_ARRAY, _FLOAT4_ARRAY = 1007, 1182, 1021
_EPOCH_DAYS = 10_957
"""PostgreSQL counts days from 2000-01-01, numpy from 1970-01-01."""


class Int4Array:
    """A one-dimensional `int4[]` parameter."""

    element = _INT4
    number = ">i4"

    def __init__(self, values: NDArray[Any]) -> None:
        body = np.empty(values.size, np.dtype([("length", ">i4"), ("value", self.number)]))
        body["length"], body["value"] = 4, values.ravel()
        dimensions = [values.size, 1] if values.size else []
        head = np.array([1 if values.size else 0, 0, self.element, *dimensions], ">i4")
        self.data = head.tobytes() + body.tobytes()


class DateArray(Int4Array):
    """A one-dimensional `date[]` parameter from days since 1970-01-01."""

    element = _DATE

    def __init__(self, days: NDArray[np.int64]) -> None:
        super().__init__(days - _EPOCH_DAYS)


class Float4Array(Int4Array):
    """A one-dimensional `float4[]` parameter."""

    element = _FLOAT4
    number = ">f4"


class _Int4ArrayDumper(Dumper):
    format = Format.BINARY
    oid = _INT4_ARRAY

    def dump(self, obj: Int4Array) -> Buffer:
        return obj.data


class _DateArrayDumper(_Int4ArrayDumper):
    oid = _DATE_ARRAY


class _Float4ArrayDumper(_Int4ArrayDumper):
    oid = _FLOAT4_ARRAY


def register(adapters: Any) -> None:
    """Teach a connection's adapters the array parameters."""
    adapters.register_dumper(Int4Array, _Int4ArrayDumper)
    adapters.register_dumper(DateArray, _DateArrayDumper)
    adapters.register_dumper(Float4Array, _Float4ArrayDumper)


def _array_dtype(slots: int, value: str = ">f4") -> np.dtype[Any]:
    """An array value: dimensions, flags, element type, length, lower bound, then (length, element) pairs."""
    element = np.dtype([("length", ">i4"), ("value", value)])
    head = [(name, ">i4") for name in ("dimensions", "flags", "type", "size", "lower")]
    return np.dtype([*head, ("elements", element, (slots,))])


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

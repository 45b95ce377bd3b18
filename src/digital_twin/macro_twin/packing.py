"""Arrays and plain values as bytes that say their version, and that hold nothing which could be executed."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from digital_twin.domain.errors import InvalidInput

_HEAD = struct.Struct("<4sHI")
_MAGIC = b"DTMT"
VERSION = 2


def pack(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """A header in JSON with values, shapes and types, then the arrays one after the other, little-endian."""
    listed = {name: (array.dtype.newbyteorder("<").str, array.shape) for name, array in arrays.items()}
    header = json.dumps({"values": values, "arrays": listed}, separators=(",", ":")).encode()
    bodies = [np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes() for array in arrays.values()]
    return b"".join([_HEAD.pack(_MAGIC, VERSION, len(header)), header, *bodies])


def is_current(data: bytes) -> bool:
    """Whether these bytes are of this version."""
    return len(data) >= _HEAD.size and _HEAD.unpack_from(data)[:2] == (_MAGIC, VERSION)


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """What was packed.

    Raises:
        InvalidInput: these bytes are none of ours, of another version, or cut short.
    """
    if len(data) < _HEAD.size:
        raise InvalidInput("the stored state is cut short")
    if not is_current(data):
        raise InvalidInput(f"the stored state is not of version {VERSION}; it is estimated anew")
    length = _HEAD.unpack_from(data)[2]
    header = json.loads(data[_HEAD.size : _HEAD.size + length])
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    position = _HEAD.size + length
    for name, (kind, shape) in header["arrays"].items():
        dtype = np.dtype(kind)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if position + size > len(data):
            raise InvalidInput("the stored state is cut short")
        arrays[name] = np.frombuffer(data, dtype, count=size // dtype.itemsize, offset=position).reshape(shape).copy()
        position += size
    return header["values"], arrays

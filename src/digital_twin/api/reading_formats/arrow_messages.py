"""Messages of an Arrow stream, each examined before Arrow opens it: no length is believed, no bomb is unpacked.

The layout is that of Arrow's own specification: "Encapsulated message format" in the columnar format, Message.fbs and
Schema.fbs; the offsets are FlatBuffers'.
"""

import struct
from typing import BinaryIO

import numpy as np

from digital_twin.domain.errors import InvalidInput

MAX_MESSAGE_BYTES = 64 * 2**20
"""Of one record batch, packed and unpacked."""

_MAX_METADATA_BYTES = 2**20
_CONTINUATION = b"\xff\xff\xff\xff"
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3  # of a Message
_BUFFERS, _COMPRESSION = 2, 3  # of a RecordBatch
_DATA, _IS_DELTA = 1, 2  # of a DictionaryBatch


class MessageSource:
    """A file for `pyarrow.ipc.open_stream`, which finds in it only messages of a bounded size.

    Raises (while it is read):
        InvalidInput: a message is too large, packed too tightly, cut off, or none at all.
    """

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._message = memoryview(b"")
        self._has_ended = False

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the current message, or the first of the next one; none after the last."""
        if not self._message and not self._has_ended:
            self._message = memoryview(self._next())
        taken = self._message[:size] if size >= 0 else self._message
        self._message = self._message[len(taken) :]
        return bytes(taken)

    def close(self) -> None:
        """The file belongs to the one who gave it."""

    def _next(self) -> bytes:
        prefix = self._exactly(8)
        if prefix[:4] != _CONTINUATION:
            raise InvalidInput("the body is no Arrow stream")
        (size,) = struct.unpack_from("<i", prefix, 4)
        if size == 0:
            self._has_ended = True
            return prefix
        if not 0 < size <= _MAX_METADATA_BYTES:
            raise InvalidInput("the Arrow stream has a message of too many fields, or is damaged")
        metadata = self._exactly(size)
        try:
            message = _Message(metadata)
            body = self._exactly(_bounded(message.body_length))
            _bounded(message.unpacked_bytes(body))
        except (struct.error, ValueError, IndexError) as error:
            raise InvalidInput("the Arrow stream is damaged") from error
        return prefix + metadata + body

    def _exactly(self, size: int) -> bytes:
        found = self._file.read(size)
        if len(found) < size:
            raise InvalidInput("the Arrow stream is cut off: it must end as it does when its writer is closed")
        return found


def _bounded(size: int) -> int:
    if size < 0:
        raise InvalidInput("the Arrow stream is damaged")
    if size > MAX_MESSAGE_BYTES:
        raise InvalidInput(
            f"a record batch may take at most {MAX_MESSAGE_BYTES // 2**20} MiB; write the table in smaller ones, such "
            "as with write_table(table, max_chunksize=100_000)"
        )
    return size


class _Message:
    """What stands before the body of a message."""

    def __init__(self, metadata: bytes) -> None:
        self._bytes = metadata
        root = self._offset(0)
        length = self._field(root, _BODY_LENGTH)
        self.body_length: int = 0 if length is None else struct.unpack_from("<q", metadata, length)[0]
        self._batch = self._find_batch(root)

    def unpacked_bytes(self, body: bytes) -> int:
        """How large the body's compressed buffers say that they become; 0 where none is compressed."""
        if self._batch is None or self._field(self._batch, _COMPRESSION) is None:
            return 0
        buffers = self._field(self._batch, _BUFFERS)
        if buffers is None:
            return 0
        start = self._offset(buffers)
        (count,) = struct.unpack_from("<I", self._bytes, start)
        found = np.frombuffer(self._bytes, "<i8", 2 * count, start + 4).reshape(-1, 2)
        sizes = [struct.unpack_from("<q", body, offset)[0] for offset, length in found.tolist() if length]
        return sum(0 if size == -1 else _bounded(size) for size in sizes)  # -1: left as it was

    def _find_batch(self, root: int) -> int | None:
        kind, header = self._field(root, _HEADER_TYPE), self._field(root, _HEADER)
        if kind is None or header is None:
            return None
        table = self._offset(header)
        if self._bytes[kind] == _RECORD_BATCH:
            return table
        if self._bytes[kind] != _DICTIONARY_BATCH:
            return None
        is_delta, data = self._field(table, _IS_DELTA), self._field(table, _DATA)
        if is_delta is not None and self._bytes[is_delta]:
            raise InvalidInput("dictionaries that grow (deltas) are not taken; write them whole")
        return None if data is None else self._offset(data)

    def _offset(self, place: int) -> int:
        return place + struct.unpack_from("<I", self._bytes, place)[0]

    def _field(self, table: int, number: int) -> int | None:
        """Where a table's field stands; None where it is left at its default."""
        (back,) = struct.unpack_from("<i", self._bytes, table)
        vtable = table - back
        if vtable < 0:
            raise ValueError("outside of the message")
        (size,) = struct.unpack_from("<H", self._bytes, vtable)
        entry = 4 + 2 * number
        if entry + 2 > size:
            return None
        (offset,) = struct.unpack_from("<H", self._bytes, vtable + entry)
        return table + offset if offset else None

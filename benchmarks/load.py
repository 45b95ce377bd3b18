"""A small HTTP/1.1 client that costs little itself: fixed requests over connections that stay open."""

import asyncio
import time

import numpy as np
from numpy.typing import NDArray


class Connection:
    """One connection that repeats one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> None:
        """Send it and read the whole answer.

        Raises:
            RuntimeError: the answer is not 200.
        """
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode("latin-1").partition("\r\n")[0])
        lower = head.lower()
        length = lower[lower.index(b"content-length:") + 15 :].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def get_request(path: str, token: str | None = None) -> bytes:
    """The bytes of a GET."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n{authorization}\r\n".encode()


async def latencies(port: int, request: bytes, *, connections: int, requests: int) -> NDArray[np.float64]:
    """Seconds of each request, all connections busy at once."""
    share = requests // connections
    opened = [await Connection.open(port) for _ in range(connections)]

    async def repeat(connection: Connection) -> list[float]:
        found: list[float] = []
        for _ in range(share):
            started = time.perf_counter()
            await connection.ask(request)
            found.append(time.perf_counter() - started)
        return found

    try:
        return np.concatenate(await asyncio.gather(*map(repeat, opened)))
    finally:
        for connection in opened:
            await connection.close()

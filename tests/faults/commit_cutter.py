"""Between the product and PostgreSQL: cuts a connection at the COMMIT of readings, before or after it takes effect."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

SOCKET = ".s.PGSQL.5432"
MARK = b"insert into batch"
"""In whose transaction this stands, there readings are written."""

PATIENCE_S = 120.0
Moment = Literal["before", "after"]
"""Before the server was told to commit, or after it has, with its answer still under way."""


class CommitCutter:
    """Forwards every connection, but cuts one at the next COMMIT of readings when told to."""

    def __init__(self, upstream: Path) -> None:
        self._upstream = upstream
        self._armed: Moment | None = None
        self._was_cut = threading.Event()
        self._cut_at = 0.0

    def cut(self, moment: Moment) -> float:
        """Cut at the next such COMMIT; when that was on the machine's monotonic clock."""
        self._was_cut.clear()
        self._armed = moment
        if not self._was_cut.wait(PATIENCE_S):
            raise TimeoutError("no transaction that writes readings was committed")
        return self._cut_at

    def claim(self) -> Moment | None:
        """For a connection that is about to commit readings: whether it is to be cut, and when."""
        moment, self._armed = self._armed, None
        return moment

    def note_cut(self) -> None:
        self._cut_at = time.monotonic()
        self._was_cut.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            server = await asyncio.open_unix_connection(str(self._upstream / SOCKET))
            connection = _Connection(self, (reader, writer), server)
            async with asyncio.TaskGroup() as both:
                both.create_task(connection.forward_questions())
                both.create_task(connection.forward_answers())


class _Connection:
    """One connection, in the messages of PostgreSQL's protocol 3."""

    def __init__(
        self,
        cutter: CommitCutter,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._cutter = cutter
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._marked_statements: set[bytes] = set()
        self._writes_readings = False
        self._awaits_commit = False

    async def forward_questions(self) -> None:
        try:
            length = await self._from_client.readexactly(4)
            self._to_server.write(length + await self._from_client.readexactly(int.from_bytes(length) - 4))
            while True:
                head = await self._from_client.readexactly(5)
                payload = await self._from_client.readexactly(int.from_bytes(head[1:]) - 4)
                if self._commits_readings(head[:1], payload):
                    moment = self._cutter.claim()
                    if moment == "before":
                        self._cutter.note_cut()
                        return
                    self._awaits_commit = moment == "after"
                self._to_server.write(head + payload)
                await self._to_server.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._hang_up()

    async def forward_answers(self) -> None:
        try:
            while data := await self._from_server.read(2**16):
                if self._awaits_commit and b"COMMIT\0" in data:
                    self._cutter.note_cut()
                    return
                self._to_client.write(data)
                await self._to_client.drain()
        except OSError:
            pass
        finally:
            self._hang_up()

    def _commits_readings(self, kind: bytes, payload: bytes) -> bool:
        """Follows the statements, of which prepared ones are later called by name; true at the commit."""
        if kind == b"P" and MARK in payload:
            self._marked_statements.add(payload.partition(b"\0")[0])
        is_marked = MARK in payload or (kind == b"B" and payload.split(b"\0", 2)[1] in self._marked_statements)
        self._writes_readings |= kind in (b"P", b"B", b"Q") and is_marked
        ends = kind in (b"P", b"Q") and (b"COMMIT\0" in payload or b"ROLLBACK\0" in payload)
        commits = ends and self._writes_readings and b"COMMIT\0" in payload
        self._writes_readings &= not ends
        return commits

    def _hang_up(self) -> None:
        self._to_client.close()
        self._to_server.close()


@contextmanager
def commit_cutter(address: str) -> Iterator[tuple[CommitCutter, str]]:
    """A cutter before the server of this address, and the address that leads through it, until the block ends."""
    cutter = CommitCutter(Path(str(conninfo_to_dict(address)["host"])))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with tempfile.TemporaryDirectory() as folder:  # a short path: that of a socket may have 107 bytes at most
        starting = asyncio.start_unix_server(cutter.serve, Path(folder) / SOCKET)
        server = asyncio.run_coroutine_threadsafe(starting, loop).result()
        try:
            yield cutter, make_conninfo(address, host=folder)
        finally:
            asyncio.run_coroutine_threadsafe(_end(server), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _end(server: asyncio.Server) -> None:
    """With the connections that are still open."""
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)

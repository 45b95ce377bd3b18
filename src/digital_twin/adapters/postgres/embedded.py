"""Our own PostgreSQL server for an installation without one.

Several processes may use it at once: each holds a shared lock, and the last one out stops the server. It listens on
a socket in a short private directory and nowhere else. Whoever finds it dead starts it again; committed data survive.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from digital_twin.adapters.file_lock import locked
from digital_twin.adapters.postgres.cluster import DATABASE, OWNER, Cluster
from digital_twin.domain.errors import Unavailable
from digital_twin.telemetry import get_logger

WATCH_EVERY_S = 2.0


class EmbeddedPostgres:
    """A server under a home directory, started by the first user and stopped by the last."""

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()  # one home is one server, whatever path leads there
        self._cluster: Cluster | None = None
        self._users_lock: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Start or join the server; the address for its owner role, who is no superuser.

        Raises:
            Unavailable: it does not start; the message ends with its log.
        """
        try:
            cluster = self._cluster = Cluster.of_home(self._home)
            with locked(cluster.root / "start.lock"):
                joins = self._users_lock is None
                self._join()
                try:
                    self._bring_up(cluster)
                except BaseException:
                    if joins:
                        self._leave(cluster)
                    raise
            return cluster.address(OWNER, DATABASE)
        except OSError as error:
            raise Unavailable(
                f"the embedded database cannot be kept in {self._home}: {error.strerror} ({error.filename})"
            ) from error

    @property
    def data_dir(self) -> Path:
        """Where the cluster lives."""
        return self._known_cluster().data

    def is_running(self) -> bool:
        """Whether the server accepts connections now."""
        return self._known_cluster().is_ready()

    def stop(self) -> None:
        """Leave; the last user stops the server."""
        if self._users_lock is None:
            return
        cluster = self._known_cluster()
        with locked(cluster.root / "start.lock"):
            self._leave(cluster)

    def _known_cluster(self) -> Cluster:
        return self._cluster or Cluster.of_home(self._home)

    def _bring_up(self, cluster: Cluster) -> None:
        if not (cluster.data / "PG_VERSION").exists():
            cluster.initialise()
        cluster.run()
        cluster.prepare()

    def _join(self) -> None:
        if self._users_lock is None:
            path = self._known_cluster().root / "users.lock"
            self._users_lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._users_lock, fcntl.LOCK_SH)

    def _leave(self, cluster: Cluster) -> None:
        assert self._users_lock is not None
        try:
            fcntl.flock(self._users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # others still use it
        else:
            cluster.stop()
        os.close(self._users_lock)
        self._users_lock = None


@asynccontextmanager
async def watched(home: Path) -> AsyncGenerator[str, None]:
    """The address of a server that is started again when it dies, until the block ends."""
    embedded = EmbeddedPostgres(home)
    try:
        address = await asyncio.to_thread(embedded.start)
        watch = asyncio.create_task(_watch(embedded))
        try:
            yield address
        finally:
            watch.cancel()
            await asyncio.wait([watch])
    finally:
        embedded.stop()


async def _watch(embedded: EmbeddedPostgres) -> None:
    while True:
        await asyncio.sleep(WATCH_EVERY_S)
        try:
            if not await asyncio.to_thread(embedded.is_running):
                get_logger().warning("embedded_database_restarting")
                await asyncio.to_thread(embedded.start)
        except Exception as error:
            # keep watching: the next round may succeed, and readiness tells the truth meanwhile
            get_logger().error("embedded_database_down", exc_info=error)

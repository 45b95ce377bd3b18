"""Our own PostgreSQL server for an installation without one.

Several processes may use it at once: each holds a shared lock, and the last one out stops the server. It listens on
a socket in a short private directory and nowhere else. Whoever finds it dead starts it again; committed data survive.
"""

import fcntl
import hashlib
import os
import secrets
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from digital_twin.adapters.postgres.binaries import SERVICE_ROOT, ServerUser, find_binaries, server_user
from digital_twin.domain.errors import Unavailable

OWNER = "digital_twin_owner"
START_TIMEOUT_S = 90.0
LOG_TAIL = 2_000

_SERVER_OPTIONS = {
    "listen_addresses": "''",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_compression": "off",  # on, the first reads after a load write page images
    "timezone": "UTC",
}


class EmbeddedPostgres:
    """A server under a home directory, started by the first user and stopped by the last."""

    def __init__(self, home: Path) -> None:
        self._home = home.absolute()
        self._user: ServerUser | None = None
        self._users_lock: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Start or join the server; the address for its owner role.

        Raises:
            Unavailable: it does not start; the message ends with its log.
        """
        user = self._user = server_user()
        bin_dir = find_binaries(user)
        root = self._root(user)
        with _Locked(root / "start.lock"):
            self._join_users(root)
            if not (root / "data" / "PG_VERSION").exists():
                _initialise(root, bin_dir, user)
            self._run(root, bin_dir, user)
        password = (root / "password").read_text()
        return f"postgresql://{OWNER}:{password}@/postgres?host={_socket_dir(root)}"

    @property
    def data_dir(self) -> Path:
        """Where the cluster lives."""
        return self._root(self._user or server_user()) / "data"

    def is_running(self) -> bool:
        """Whether the server accepts connections now."""
        user = self._user or server_user()
        return _is_ready(self._root(user), find_binaries(user))

    def stop(self) -> None:
        """Leave; the last user stops the server."""
        if self._users_lock is None or self._user is None:
            return
        root = self._root(self._user)
        with _Locked(root / "start.lock"):
            try:
                fcntl.flock(self._users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # others still use it
            else:
                command = [
                    find_binaries(self._user) / "pg_ctl",
                    "-D",
                    root / "data",
                    "-m",
                    "fast",
                    "-w",
                    "-t",
                    "60",
                    "stop",
                ]
                subprocess.run(command, capture_output=True, check=False, **self._user.as_keywords())  # noqa: S603
            os.close(self._users_lock)
            self._users_lock = None

    def _root(self, user: ServerUser) -> Path:
        """Under the home, or in the service user's own place where it cannot enter the home."""
        self._home.mkdir(parents=True, exist_ok=True)
        if user.can_enter(self._home):
            root = self._home / "postgres"
        else:
            root = SERVICE_ROOT / hashlib.sha256(str(self._home).encode()).hexdigest()[:16]
            SERVICE_ROOT.mkdir(parents=True, exist_ok=True)
            SERVICE_ROOT.chmod(0o755)
        root.mkdir(exist_ok=True, mode=0o755)
        return root

    def _join_users(self, root: Path) -> None:
        if self._users_lock is None:
            self._users_lock = os.open(root / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._users_lock, fcntl.LOCK_SH)

    def _run(self, root: Path, bin_dir: Path, user: ServerUser) -> None:
        socket_dir = _make_socket_dir(root, user)
        options = " ".join(f"-c {name}={value}" for name, value in _SERVER_OPTIONS.items())
        command = [
            str(bin_dir / "pg_ctl"), "-D", str(root / "data"), "-w", "-t", "60",
            "-l", str(root / "data" / "server.log"), "-o", f"-k {socket_dir} {options}", "start",
        ]  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _is_ready(root, bin_dir):
            if time.monotonic() > deadline:
                raise Unavailable(f"the embedded database does not start: {_log_tail(root)}")
            # after a kill the old backends may still be leaving, and pg_ctl then refuses for a moment
            subprocess.run(  # noqa: S603
                command, capture_output=True, check=False, start_new_session=True, **user.as_keywords()
            )
            time.sleep(0.05)


class _Locked:
    """An exclusive lock on a file for the length of a block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _initialise(root: Path, bin_dir: Path, user: ServerUser) -> None:
    """A fresh cluster, moved into place when it is whole."""
    data, fresh, password = root / "data", root / f"data.{os.getpid()}", root / "password"
    fresh.mkdir(mode=0o700)
    user.own(fresh)
    descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(24))
    user.own(password)
    command = [
        str(bin_dir / "initdb"), "-D", str(fresh), "-U", OWNER, "-E", "UTF8", "--locale=C.UTF-8",
        "--auth=scram-sha-256", f"--pwfile={password}", "--no-instructions",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False, text=True, **user.as_keywords())  # noqa: S603
    if user.is_other:
        os.chown(password, os.geteuid(), os.getegid())
    if done.returncode:
        raise Unavailable(f"the embedded database cannot be created in {root}: {done.stderr[-LOG_TAIL:].strip()}")
    fresh.rename(data)


def _socket_dir(root: Path) -> Path:
    """Short, since the path of a socket may have 107 bytes at most."""
    return Path("/tmp") / f"digital-twin-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"  # noqa: S108


def _make_socket_dir(root: Path, user: ServerUser) -> Path:
    folder = _socket_dir(root)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in (user.uid, os.geteuid()):
        raise Unavailable(f"{folder} belongs to somebody else; remove it and start again")
    user.own(folder)
    return folder


def _is_ready(root: Path, bin_dir: Path) -> bool:
    command = [str(bin_dir / "pg_isready"), "-q", "-h", str(_socket_dir(root))]
    return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0  # noqa: S603


def _log_tail(root: Path) -> str:
    try:
        return (root / "data" / "server.log").read_text(errors="replace")[-LOG_TAIL:].strip()
    except OSError:
        return "it wrote no log"

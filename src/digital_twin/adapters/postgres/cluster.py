"""The files of the embedded server, and PostgreSQL's own programs run on them."""

import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from digital_twin.adapters.postgres.binaries import SERVICE_ROOT, ServerUser, find_binaries, server_user
from digital_twin.adapters.postgres.postmaster import has_given_up
from digital_twin.domain.errors import Unavailable

SUPERUSER, OWNER, DATABASE = "postgres", "digital_twin_owner", "digital_twin"
START_TIMEOUT_S, HOPELESS_AFTER_S = 90.0, 20.0
GIVEN_UP_CHECKS = 10
"""As many seconds: after a crash the server gives its processes five to end before one recovers."""

LOG_TAIL, LONGEST_LOG = 2_000, 10 * 2**20

_OPTIONS = {
    "listen_addresses": "''",
    "port": "5432",  # said, since PGPORT may say another; it only names the socket
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_compression": "off",  # on, the first reads after a load write page images
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the data are, the programs that serve them, and the user who runs these."""

    root: Path
    bin_dir: Path
    user: ServerUser

    @classmethod
    def of_home(cls, home: Path) -> "Cluster":
        """The cluster of a home, made or not.

        Raises:
            Unavailable: the data are where the server's user cannot reach them, or there is no PostgreSQL.
        """
        user = server_user()
        root = _root(home, user)
        data = root / "data"
        if user.is_other and data.exists():
            user = user.or_owner_of(data)  # root joins what an ordinary user began
        return cls(root, find_binaries(user), user)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def socket_dir(self) -> Path:
        """Short, since the path of a socket may have 107 bytes at most."""
        return Path("/tmp") / f"digital-twin-{hashlib.sha256(str(self.root).encode()).hexdigest()[:12]}"  # noqa: S108

    def address(self, role: str, database: str) -> str:
        """What a client connects to."""
        password = self._password(role).read_text()
        return f"postgresql://{role}:{password}@/{database}?host={self.socket_dir}&port={_OPTIONS['port']}"

    def is_ready(self) -> bool:
        """Whether the server accepts connections now."""
        command = [self.bin_dir / "pg_isready", "-q", "-h", self.socket_dir, "-p", _OPTIONS["port"]]
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, check=False, cwd="/", env=_environment()
        )
        return done.returncode == 0

    def initialise(self) -> None:
        """Fresh files, moved into place when they are whole."""
        for left_behind in self.root.glob("data.*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="data.", dir=self.root))
        self.user.own(fresh)
        for role in (OWNER, SUPERUSER):
            _write_secret(self._password(role))
        password = self._password(SUPERUSER)
        self.user.own(password)
        done = self._run(
            "initdb", "-D", fresh.name, "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256",
            f"--pwfile={password.name}", "--no-instructions",
        )  # fmt: skip
        if self.user.is_other:
            os.chown(password, os.geteuid(), os.getegid())
        if done.returncode:
            reason = done.stderr.decode(errors="replace")[-LOG_TAIL:].strip()
            raise Unavailable(f"the embedded database cannot be created in {self.root}: {reason}")
        fresh.rename(self.data)

    def run(self) -> None:
        """Start the server unless it runs, and wait until it answers.

        Raises:
            Unavailable: it does not start; the message ends with its log.
        """
        if self.is_ready():
            return
        self._make_socket_dir()
        self._cut_log()
        options = " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items())
        started, pause_s = time.monotonic(), 0.05
        while not self.is_ready():
            self._end_if_given_up()
            # another postmaster may be recovering, and after a kill the old backends may still be leaving
            patience_s = START_TIMEOUT_S if (self.data / "postmaster.pid").exists() else HOPELESS_AFTER_S
            if time.monotonic() - started > patience_s:
                raise Unavailable(f"the embedded database does not start: {self._log_tail()}", retry_after_s=10)
            self._run(
                "pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "data/server.log",
                "-o", f"-k {self.socket_dir} {options}", "start",
            )  # fmt: skip
            time.sleep(pause_s)
            pause_s = min(1.0, 1.5 * pause_s)

    def _end_if_given_up(self) -> None:
        """End a server that runs but will never be ready, so that another can be started."""
        for _ in range(GIVEN_UP_CHECKS):
            if not has_given_up(self.data) or self.is_ready():
                return
            time.sleep(1.0)
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "-t", "60", "stop")

    def prepare(self) -> None:
        """The owner of the application's database, who is no superuser, and the database."""
        try:
            with psycopg.connect(self.address(SUPERUSER, "postgres"), autocommit=True) as connection:
                owner, database = sql.Identifier(OWNER), sql.Identifier(DATABASE)
                if not connection.execute("select from pg_roles where rolname = %s", (OWNER,)).rowcount:
                    password = self._password(OWNER).read_text()
                    connection.execute(
                        sql.SQL("create role {} login createrole createdb password {}").format(owner, password)
                    )
                if not connection.execute("select from pg_database where datname = %s", (DATABASE,)).rowcount:
                    connection.execute(sql.SQL("create database {} owner {}").format(database, owner))
        except psycopg.OperationalError as error:
            raise Unavailable(f"the embedded database does not answer: {str(error).strip()}") from error

    def stop(self) -> None:
        """Orderly, with all connections closed."""
        self._run("pg_ctl", "-D", "data", "-m", "fast", "-w", "-t", "60", "stop")
        with suppress(OSError):  # not there, or not empty since it still runs
            self.socket_dir.rmdir()

    def _run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        """In the root, so that no path has to survive the quoting of a shell."""
        keywords: dict[str, Any] = {**self.user.as_keywords(), "cwd": self.root}
        command = [str(self.bin_dir / program), *arguments]
        return subprocess.run(  # noqa: S603
            command, capture_output=True, check=False, start_new_session=True, env=_environment(), **keywords
        )

    def _password(self, role: str) -> Path:
        return self.root / f"password-{role}"

    def _make_socket_dir(self) -> None:
        folder = self.socket_dir
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid not in (self.user.uid, os.geteuid()):
            raise Unavailable(f"{folder} belongs to somebody else; remove it and start again")
        self.user.own(folder)

    def _cut_log(self) -> None:
        log = self.data / "server.log"
        if log.exists() and log.stat().st_size > LONGEST_LOG:
            log.replace(log.with_name("server.log.old"))

    def _log_tail(self) -> str:
        try:
            return (self.data / "server.log").read_text(errors="replace")[-LOG_TAIL:].strip()
        except OSError:
            return "it wrote no log"


def _environment() -> dict[str, str]:
    """Ours without what steers PostgreSQL's programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _root(home: Path, user: ServerUser) -> Path:
    """Under the home, or in the service user's own place where it cannot enter the home. Data are never left behind
    when the home's permissions change."""
    home.mkdir(parents=True, exist_ok=True)
    near, apart = home / "postgres", SERVICE_ROOT / hashlib.sha256(str(home).encode()).hexdigest()[:16]
    is_apart = user.is_other and (apart / "data").exists()
    if not is_apart and not user.can_enter(home):
        if (near / "data").exists():
            raise Unavailable(f"the user {user.name} cannot reach the database in {near} any more; chmod a+x {home}")
        is_apart = True
    if not is_apart:
        return _made(near)
    _made(SERVICE_ROOT)
    return _made(apart)


def _made(folder: Path) -> Path:
    """The folder, which others may enter whatever the umask says."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o755)
    return folder


def _write_secret(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(24))
        file.flush()
        os.fsync(descriptor)

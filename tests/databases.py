"""Databases for tests: fresh ones, each a copy of one that was migrated once."""

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from digital_twin.adapters.postgres.database import migrate, open_pool
from digital_twin.adapters.postgres.store import PostgresStore

GIVEN = "TEST_DATABASE_URL"


class DatabaseServer:
    """A server on which databases come and go."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._template: str | None = None
        self._free: list[str] = []
        self._made: list[str] = []

    async def create(self, *, migrated: bool = True) -> str:
        """The address of a new database."""
        if not migrated:
            return await self.create_in("UTF8")
        if self._template is None:
            address = await self.create_in("UTF8")
            await migrate(address)
            self._template = psycopg.conninfo.conninfo_to_dict(address)["dbname"]
        return await self._new(self._template)

    async def create_in(self, encoding: str) -> str:
        """The address of a new database without a schema."""
        return await self._new(f"template0 encoding '{encoding}' locale 'C'")

    def drop_all(self) -> None:
        """Leave the server as it was found."""
        for name in self._made:
            _execute(self._address, f'drop database "{name}" with (force)')

    @asynccontextmanager
    async def database(self) -> AsyncGenerator[str, None]:
        """The address of an empty migrated database, which serves one test after the other."""
        address = self._free.pop() if self._free else await self.create()
        yield address
        await asyncio.to_thread(_empty, address)
        self._free.append(address)

    @asynccontextmanager
    async def store(self, *, connections: int = 4) -> AsyncGenerator[PostgresStore, None]:
        """An empty store."""
        async with self.database() as address, open_pool(address, size=connections) as pool:
            yield PostgresStore(pool)

    async def _new(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex}"
        await asyncio.to_thread(_execute, self._address, f'create database "{name}" template {template}')
        self._made.append(name)
        # what is committed is there for all who ask; only a crash of the machine could lose it
        return make_conninfo(self._address, dbname=name, options="-c synchronous_commit=off")


def _execute(address: str, statement: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def _empty(address: str) -> None:
    """Delete all rows: quicker by far than another database."""
    tables = "community", "account", "invite", "idempotency", "ingester"
    _execute(address, "; ".join(f"delete from {table}" for table in tables))


def server_of_environment() -> DatabaseServer:
    """The server that the environment names; without one the test is skipped, or fails where servers are required."""
    address = os.environ.get(GIVEN)
    if address:
        return DatabaseServer(address)
    message = f"{GIVEN} names no PostgreSQL server"
    if os.environ.get("REQUIRE_SERVERS") == "1":
        pytest.fail(message)
    pytest.skip(message)

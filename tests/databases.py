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

    async def create(self, *, migrated: bool = True) -> str:
        """The address of a new database."""
        if not migrated:
            return await self._new("template1")
        if self._template is None:
            address = await self._new("template1")
            await migrate(address)
            self._template = psycopg.conninfo.conninfo_to_dict(address)["dbname"]
        return await self._new(self._template)

    async def drop(self, address: str) -> None:
        name = psycopg.conninfo.conninfo_to_dict(address)["dbname"]
        await self._execute(f'drop database "{name}" with (force)')

    @asynccontextmanager
    async def store(self, *, connections: int = 4) -> AsyncGenerator[PostgresStore, None]:
        """A store on a database of its own."""
        address = await self.create()
        try:
            async with open_pool(address, size=connections) as pool:
                yield PostgresStore(pool)
        finally:
            await self.drop(address)

    async def _new(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex}"
        await self._execute(f'create database "{name}" template "{template}" strategy file_copy')
        return make_conninfo(self._address, dbname=name)

    async def _execute(self, statement: str) -> None:
        def run() -> None:
            with psycopg.connect(self._address, autocommit=True) as connection:
                connection.execute(statement)  # type: ignore[call-overload]

        await asyncio.to_thread(run)


def given_server() -> DatabaseServer:
    """The server that the environment names; without one the test is skipped, or fails where servers are required."""
    address = os.environ.get(GIVEN)
    if address:
        return DatabaseServer(address)
    message = f"{GIVEN} names no PostgreSQL server"
    if os.environ.get("REQUIRE_SERVERS") == "1":
        pytest.fail(message)
    pytest.skip(message)

"""Plans that the server keeps: it makes them while a community is small, and goes on with them when it is large."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow
from tests.builders import MONDAY, community, hours, series
from tests.databases import DatabaseServer

from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member

TABLE = "reading_closed"
"""Where days of long ago lie."""

PREPARED_AFTER = 6
"""Executions of a statement."""


@pytest.fixture(params=["embedded", "given"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    return request.getfixturevalue(f"{request.param}_server")


async def kept_plans(connection: AsyncConnection[TupleRow], table: str) -> list[dict[str, Any]]:
    """What the server would go on with for the statements that name rows of this table by their keys."""
    found = await connection.execute(
        "select name, cardinality(parameter_types) from pg_prepared_statements "
        "where statement ~ 'unnest' and statement ~ %s and statement !~ '^insert'",
        (table,),
    )
    statements = await found.fetchall()
    await connection.execute(
        "select set_config(name, value, true) from (values ('plan_cache_mode', 'force_generic_plan'), "
        "('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('enable_seqscan', 'off')) setting(name, value)"
    )
    plans: list[dict[str, Any]] = []
    for name, count in statements:
        explain = sql.SQL("explain (format json) execute {} ({})").format(
            sql.Identifier(name), sql.SQL(", ").join([sql.NULL] * count)
        )
        row = await (await connection.execute(explain)).fetchone()
        assert row is not None
        plans.append(row[0][0]["Plan"])
    return plans


def looked_up(plan: dict[str, Any], table: str) -> Iterator[str]:
    """By what each node of a plan finds rows of this table."""
    if plan.get("Relation Name") == table and "Scan" in plan["Node Type"]:
        yield plan.get("Index Cond") or plan.get("Recheck Cond") or plan.get("TID Cond") or "nothing"
    for part in plan.get("Plans", ()):
        yield from looked_up(part, table)


async def test_a_plan_made_while_there_is_little_finds_each_row_by_its_whole_key(server: DatabaseServer) -> None:
    async with server.database() as address, open_pool(address, size=1) as pool:
        store = PostgresStore(pool)
        async with store.platform() as tx:
            await tx.communities.create(community())
        async with store.community("solar_valley") as tx:
            await tx.members.put_members([Member("home_1")])
            for number in range(PREPARED_AFTER):
                for value in (1.0, 2.0):  # read and inserted, then read and updated
                    one = series("load_kw", [value], member="home_1", start=MONDAY + hours(number))
                    await tx.readings.record([one], key=f"{number} {value}")
        async with pool.connection() as connection, connection.transaction():
            plans = await kept_plans(connection, TABLE)
    assert len(plans) == 2, "the statements that read and that update are not among those prepared"
    for found_by in (one for plan in plans for one in looked_up(plan, TABLE)):
        assert "ctid" in found_by or ("k.day" in found_by and "k.series" in found_by), found_by

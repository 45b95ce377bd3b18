"""The database itself: its schema from any state, the wall between communities, and tables that stay bounded."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout
from tests.builders import MONDAY, community, issued_forecast, lesson_of, series, state_update, trained_version
from tests.databases import DatabaseServer

from digital_twin.adapters.postgres.database import APP_ROLE, Pool, migrate, open_pool
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Asset, Fuse, Member
from digital_twin.domain.errors import Conflict, NotFound, Unavailable
from digital_twin.domain.feeds import FeedKind, WeatherFeed
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import Receipt, SeriesKey
from digital_twin.domain.retention import Retention
from digital_twin.domain.topics import Pick, Sample, TopicMapping, TopicTemplate, ValueMapping
from digital_twin.services.ports import (
    PLAN_COLUMNS,
    DeadLetter,
    FeedIssue,
    ForecastCare,
    Invite,
    MemberPlan,
    Membership,
    Outcome,
    Run,
    RunState,
    Session,
    StoredResult,
)

QUEUE_TABLES = ("procrastinate_jobs", "procrastinate_events", "procrastinate_workers", "procrastinate_periodic_defers")
"""A job holds the ids of a community and of a Run, and nothing of theirs."""

PLATFORM_TABLES = {"account", "session", "api_key", "idempotency", "invite", "ingester"}
"""Tables of the installation; every other one belongs to communities."""

Connection = psycopg.AsyncConnection[psycopg.rows.TupleRow]


@pytest.fixture(params=["embedded", "given"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture
async def address(server: DatabaseServer) -> str:
    """An empty database without a schema."""
    return await server.create(migrated=False)


@pytest.fixture
async def database(server: DatabaseServer) -> AsyncGenerator["Database", None]:
    """An empty database with this version's schema."""
    async with (
        server.database() as address,
        open_pool(address, size=4) as pool,
        await psycopg.AsyncConnection.connect(address, autocommit=True) as owner,
    ):
        yield Database(PostgresStore(pool), pool, owner)


@dataclass(frozen=True)
class Database:
    """A store and, beside it, the owner's view that no policy limits."""

    store: PostgresStore
    pool: Pool
    owner: Connection

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await (await self.owner.execute(query)).fetchall()  # type: ignore[arg-type]

    async def count(self, table: str) -> int:
        [(count,)] = await self.rows(f"select count(*) from {table}")
        return count

    async def community_relations(self) -> list[str]:
        """Tables and views that belong to communities, also those that somebody adds later."""
        found = await self.rows(
            "select relname from pg_class where relkind in ('r', 'p', 'v', 'm') "
            "and relnamespace = 'public'::regnamespace order by 1"
        )
        return [name for (name,) in found if name not in {*PLATFORM_TABLES, *QUEUE_TABLES, "alembic_version"}]

    @asynccontextmanager
    async def application(self) -> AsyncGenerator[Connection, None]:
        """A connection as the application has them."""
        async with self.pool.connection() as connection:
            yield connection


def today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


async def fill(store: PostgresStore, *names: str) -> None:
    """Readings, and what the twin makes of them."""
    await fill_first_tables(store, *names)
    await fill_what_is_made(store, *names)


async def fill_every_table(store: PostgresStore, *names: str) -> None:
    """Something in every table that belongs to communities."""
    await fill_first_tables(store, *names)
    for name in names:
        await fill_what_is_kept(store, name)
        await fill_what_comes_in(store, name)
    await fill_what_is_made(store, *names)


async def fill_what_is_made(store: PostgresStore, *names: str) -> None:
    """Runs, events, states and models; and readings of minutes."""
    for index, name in enumerate(names):
        async with store.community(name) as tx:
            run_id = f"{index + 16:032x}"
            run = await tx.runs.add(Run(run_id, name, "k", "q", RunState.QUEUED, {}, None, MONDAY), [b"given"])
            await tx.runs.claim(run_id, run.job_id or 0, at=MONDAY)
            await tx.runs.keep_part(run_id, 1, 0, b"finished")
            await tx.events.add("run", {})
            await tx.plan_questions.add(f"{index:032x}", b"?")  # erasing a member took all that were there before
            await tx.states.save(state_update(1, MONDAY, 96, midnights=1))
            trained = await tx.trained_models.add(trained_version(run_id), b"model")
            await tx.trained_models.add_lesson(lesson_of(trained), b"lesson")
            await tx.issued_forecasts.add(issued_forecast(MONDAY))
            await tx.issued_forecasts.keep_care(ForecastCare(MONDAY, MONDAY, MONDAY, {}))
            minutes = [series("pv_kw", [1.0] * 4, member="h1", start=start, minutes=1) for start in (MONDAY, today())]
            suspect = np.full(4, Quality.SUSPECT, dtype=np.uint8)
            await tx.readings.record([replace(one, flags=suspect) for one in minutes], key="minutes")


async def fill_what_is_kept(store: PostgresStore, name: str) -> None:
    """A sum over many homes of which one was erased, whose journal is still to be purged."""
    homes = [f"home_{number}" for number in range(6)]
    async with store.community(name) as tx:
        await tx.members.put_members([Member(home) for home in homes])
        await tx.readings.record([series("load_kw", [1.0], member=home, start=MONDAY) for home in homes], key="homes")
        await tx.keeping.retain(Retention(readings_days=1000))
    async with store.community(name) as tx:
        await tx.keeping.erase_member(homes[0])


async def fill_what_comes_in(store: PostgresStore, name: str) -> None:
    """Something from a broker and from a feed."""
    topic = TopicTemplate(f"communities/{name}/{{member_id}}")
    async with store.community(name) as tx:
        await tx.topic_mappings.add(TopicMapping("meters", topic, (ValueMapping("load_kw", "$"),)))
        await tx.dead_letters.add([DeadLetter(datetime.now(UTC), "topic", b"payload", 7, "reason")])
        key = SeriesKey("load_kw", "h1")
        await tx.sampled.add([Sample(key, 15, MONDAY, MONDAY, 1.0, Quality.MEASURED, Pick.MEAN)])
        await tx.feeds.put(WeatherFeed(), due_at=MONDAY)
        await tx.feeds.add_issue(FeedIssue(FeedKind.WEATHER, "source", MONDAY, Outcome.EMPTY))


async def fill_first_tables(store: PostgresStore, *names: str) -> None:
    """Something in every table that the first schemas had."""
    async with store.platform() as tx:
        account = await tx.accounts.create(
            username="ada", email="ada@example.org", password_hash="x", role="viewer", requested_role=None
        )
        for name in names:
            await tx.communities.create(community(name))
            await tx.accounts.put_membership(Membership(account.account_id, "ada", name, "viewer"))
    old, new = MONDAY, today()
    for index, name in enumerate(names):
        async with store.community(name) as tx:
            await tx.members.put_members([Member("h1")])
            await tx.members.put_assets([Asset("a", Fuse(24), "h1")])
            result_id = f"{index:032x}"
            await tx.results.add(StoredResult(result_id, "member_dispatch", MONDAY, {}))
            powers = np.zeros((len(PLAN_COLUMNS), 96), dtype=np.float32)
            await tx.member_plans.add(result_id, [MemberPlan("h1", 1.0, 0.5, powers)])
            readings = [series("load_kw", [1.0 + index] * 4, member="h1", start=start) for start in (old, new)]
            await tx.readings.record(readings, key="k")
            await tx.readings.community_sum("load_kw", old, old + timedelta(hours=1))


async def test_every_table_of_communities_shows_the_application_one_community_and_nothing_outside(
    database: Database,
) -> None:
    await fill_every_table(database.store, "one", "two")
    guarded = await database.community_relations()
    async with database.application() as connection:
        assert {"community", "member", "reading", "reading_open", "reading_closed", "rollup"} < set(guarded)
        everything = {table: await database.count(table) for table in guarded}
        for table in guarded:
            assert everything[table] % 2 == 0, f"{table} has no rows of both communities to hide"
            assert everything[table] > 0, f"fill_every_table() puts nothing into {table}"
            count = sql.SQL("select count(*) from {}").format(sql.Identifier(table))
            seen = await (await connection.execute(count)).fetchone()
            assert seen == (0,), f"{table} is visible to who entered no community"
            async with connection.transaction():
                await connection.execute("select enter_community('one')")
                seen = await (await connection.execute(count)).fetchone()
            assert seen == (everything[table] // 2,), f"{table} shows more or less than the entered community"
            async with connection.transaction():
                await connection.execute("select enter_community('nowhere')")
                assert await (await connection.execute(count)).fetchone() == (0,)


async def test_the_application_writes_into_no_community_but_the_entered_one(database: Database) -> None:
    await fill(database.store, "one", "two")
    async with database.application() as connection:
        [(one,), other] = await database.rows("select id from community order by community_id")
        await connection.execute("select set_config('digital_twin.community', %s, false)", (str(one),))
        for statement in (
            "insert into member (community, member_id, document) values (%s, 'spy', '{}')",
            "insert into reading_open select %s, current_date, series, slots from reading_open",
            "update reading_closed set community = %s",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                await connection.execute(statement, other)  # type: ignore[arg-type]
        await connection.execute("delete from reading_closed")
        assert await database.count("reading_closed") == 2


async def test_the_application_works_as_a_role_without_power(database: Database) -> None:
    async with database.application() as connection:
        user = await connection.execute("select current_user::text")
        assert await user.fetchone() == (APP_ROLE,)
        powers = await connection.execute(
            "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user"
        )
        assert await powers.fetchone() == (False,) * 4
        assert not await database.rows(f"select relname from pg_class where relowner = '{APP_ROLE}'::regrole")
        for statement in (
            "create table loot (x int)",
            "drop table batch",
            "alter table batch disable row level security",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement)  # type: ignore[arg-type]


async def test_several_programs_may_migrate_one_database_at_once(address: str) -> None:
    await asyncio.gather(*(migrate(address) for _ in range(3)))
    await migrate(address)
    async with open_pool(address, size=2) as pool:
        await fill(PostgresStore(pool), "one")


async def test_data_of_the_first_schema_survive_the_way_to_this_one(address: str) -> None:
    await migrate(address, "0002")
    async with (
        await psycopg.AsyncConnection.connect(address, autocommit=True) as owner,
        open_pool(address, size=2) as pool,
    ):
        store = PostgresStore(pool)
        async with store.platform() as tx:
            await tx.communities.create(community("one"))
        async with store.community("one") as tx:
            await tx.members.put_members([Member("h1")])
        await owner.execute(
            "insert into series (community, name, member_id, resolution_minutes) "
            "select id, name, 'h1', minutes from community, (values ('load_kw', 15), ('pv_kw', 1)) given(name, minutes)"
        )
        for table, day in (("reading_closed", MONDAY), ("reading_open", today())):
            await owner.execute(
                f"insert into {table} select community, %s, id, "
                "array(select slot::real from generate_series(1, 1440 / resolution_minutes) slot) from series",  # type: ignore[arg-type]
                (day.date(),),
            )
        await migrate(address)
        for day in (MONDAY, today()):
            async with store.community("one") as tx:
                keys = [SeriesKey("load_kw", "h1"), SeriesKey("pv_kw", "h1")]
                quarters, minutes = await tx.readings.read(keys, day, day + timedelta(days=1))
            assert quarters.values.tolist() == list(range(1, 97))
            assert minutes.values.tolist() == list(range(1, 1441))
        async with store.community("one") as tx:
            due = await tx.states.due()
    assert due is not None
    assert due.changed_from == MONDAY
    assert due.changed_until > today()


async def test_a_database_of_a_newer_program_is_left_alone(address: str) -> None:
    await migrate(address)
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        await connection.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(Conflict, match="newer version"):
        await migrate(address)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await migrate("postgresql://nobody@/nothing?host=/nonexistent")


async def test_a_deleted_community_leaves_no_row_anywhere(database: Database) -> None:
    await fill_every_table(database.store, "one", "two")
    tables = await database.community_relations()
    before = {table: await database.count(table) for table in tables}
    async with database.store.platform() as tx:
        await tx.communities.delete("one", expected_version=None)
    assert {table: 2 * await database.count(table) for table in tables} == before
    async with database.store.platform() as tx:
        await tx.communities.delete("two", expected_version=None)
        with pytest.raises(NotFound):
            await tx.communities.delete("two", expected_version=None)
    assert {await database.count(table) for table in tables} == {0}


async def test_what_is_long_past_its_time_makes_room_for_what_is_new(database: Database) -> None:
    async with database.store.platform() as tx:
        ada = await tx.accounts.create(
            username="ada", email="ada@example.org", password_hash="x", role="viewer", requested_role=None
        )
        now, past = datetime.now(UTC), datetime.now(UTC) - timedelta(days=31)
        for key in ("old", "new"):
            await tx.replays.claim("POST /communities", key, b"print")
        for name, expires in (("old", past), ("new", now)):
            await tx.accounts.add_invite(Invite(name.encode(), "viewer", None, None, None, expires))
            await tx.accounts.add_session(Session(name, ada.account_id, past, expires, past, b"", None, None, False))
    await database.rows(
        "update idempotency set created_at = created_at - interval '25 h' where key = 'old' returning 1"
    )
    async with database.store.platform() as tx:
        await tx.replays.claim("POST /communities", "another", b"print")
        await tx.accounts.add_invite(Invite(b"another", "viewer", None, None, None, now))
        await tx.accounts.add_session(Session("another", ada.account_id, now, now, now, b"", None, None, False))
    assert await database.rows("select key from idempotency order by 1") == [("another",), ("new",)]
    assert await database.rows("select id from session order by 1") == [("another",), ("new",)]
    assert await database.rows("select token_hash from invite order by 1") == [(b"another",), (b"new",)]


@pytest.mark.parametrize(
    ("state", "reason"),
    [("53100", "no space"), ("57014", "too long"), ("53300", "does not answer"), ("40P01", "does not answer")],
    ids=["disk full", "statement time-out", "too many connections", "deadlock"],
)
async def test_a_database_that_fails_for_a_while_is_unavailable_and_keeps_nothing(
    database: Database, state: str, reason: str
) -> None:
    await fill(database.store, "one")
    await database.owner.execute(
        "create function fail() returns trigger language plpgsql as "  # type: ignore[arg-type]
        f"$$ begin raise 'as if' using errcode = '{state}'; end $$; "
        "create trigger fail before insert on batch execute function fail()"
    )
    try:
        with pytest.raises(Unavailable, match=reason):
            await record_late(database)
    finally:
        await database.owner.execute("drop function fail cascade")
    assert not (await record_late(database)).replayed


async def record_late(database: Database) -> Receipt:
    async with database.store.community("one") as tx:
        return await tx.readings.record([series("load_kw", [9.0], member="h1")], key="late")


async def test_more_who_ask_than_connections_wait_or_are_told(server: DatabaseServer) -> None:
    async with server.database() as address, open_pool(address, size=2) as pool:
        pool.timeout = 0.2
        store = PostgresStore(pool)
        async with store.platform(), store.platform():
            assert not await store.is_ready()
            with pytest.raises(Unavailable):
                async with store.platform():
                    pass
        assert await store.is_ready()


async def test_who_waits_while_the_database_is_away_is_served_when_it_returns(
    server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("digital_twin.adapters.postgres.database.RECONNECT_S", 0.05)
    async with server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        assert await store.is_ready()
        await admit(address, "false")
        with pytest.raises(PoolTimeout):
            async with pool.connection(timeout=0.3):  # which finds that the connection is lost
                pass

        async def wait() -> None:
            async with store.platform():
                pass

        waiting = asyncio.create_task(wait())
        before = pool.get_stats().get("connections_errors", 0)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if pool.get_stats().get("connections_errors", 0) >= before + 2:  # a round of attempts has failed
                break
        await admit(address, "true")
        await waiting


async def admit(address: str, whether: str) -> None:
    """Whether the database of this address takes connections; if not, those that it has end."""
    name = str(conninfo_to_dict(address)["dbname"])
    async with await psycopg.AsyncConnection.connect(address, dbname="postgres", autocommit=True) as owner:
        await owner.execute(
            sql.SQL("alter database {} allow_connections {}").format(sql.Identifier(name), sql.SQL(whether))
        )
        if whether == "false":
            await owner.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", (name,)
            )


async def test_a_connection_cut_by_the_server_is_unavailable_and_replaced(database: Database) -> None:
    await fill(database.store, "one")

    async def cut_in_the_middle() -> None:
        async with database.store.community("one") as tx:
            await database.rows(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            await tx.members.members()

    with pytest.raises(Unavailable):
        await cut_in_the_middle()
    for _ in range(10):  # connections that lay idle in the pool were cut, too
        with suppress(Unavailable):
            async with database.store.community("one") as tx:
                assert len(await tx.members.members()) == 1
                break
    else:
        pytest.fail("no connection came in place of the one that was cut")


async def test_plain_sql_reads_what_was_stored(database: Database) -> None:
    await fill(database.store, "one")
    found = await database.rows(
        "select community_id, name, member_id, asset_id, start, value, quality from reading order by name, start"
    )
    quarters = [MONDAY + timedelta(minutes=15 * slot) for slot in range(4)]
    assert found[:4] == [("one", "load_kw", "h1", None, start, 1.0, "measured") for start in quarters]
    assert len(found) == 16


async def test_plain_sql_reads_days_that_lie_in_pieces(database: Database) -> None:
    await fill_first_tables(database.store, "one")
    flags = np.array([Quality.MEASURED] * 1000 + [Quality.ESTIMATED] * 440, dtype=np.uint8)
    async with database.store.community("one") as tx:
        await tx.readings.record([replace(series("pv_kw", range(1440), minutes=1), flags=flags)], key="minutes")
    found = await database.rows("select start, value, quality from reading where name = 'pv_kw' order by start")
    assert found == [
        (MONDAY + timedelta(minutes=minute), minute, "estimated" if minute >= 1000 else "measured")
        for minute in range(1440)
    ]


async def test_a_connection_that_the_server_has_closed_is_not_handed_out(database: Database) -> None:
    await fill(database.store, "one")
    others = "pid <> pg_backend_pid() and datname = current_database()"
    await database.rows(f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where {others}")
    async with database.store.community("one") as tx:
        assert (await tx.communities.get("one")).community.community_id == "one"


async def test_nothing_of_a_failed_transaction_stays_and_the_connection_serves_on(database: Database) -> None:
    async def create_and_fail() -> None:
        async with database.store.platform() as tx:
            await tx.communities.create(community("ghost"))
            raise Conflict("on purpose")

    for _ in range(6):  # more than there are connections
        with pytest.raises(Conflict):
            await create_and_fail()
    assert await database.count("community") == 0
    for name in ("o'ne", "one'); drop table community; --", "\\", "%s", "{}"):
        with pytest.raises(NotFound):
            async with database.store.community(name):
                pass
    await fill(database.store, "one")


async def test_a_database_in_another_encoding_is_refused_with_what_to_do(server: DatabaseServer) -> None:
    address = await server.create_in("SQL_ASCII")
    with pytest.raises(Unavailable, match="must be in UTF8, it is in SQL_ASCII; make one with: createdb"):
        await migrate(address)

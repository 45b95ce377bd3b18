"""Upkeep of real databases: what it leaves, what it never changes, and that it stands in nobody's way."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
from tests.adapters.test_erasure import HOMES, load_sum, open_community, record
from tests.adapters.test_keeping import live_day
from tests.builders import MONDAY, community, series
from tests.databases import DatabaseServer

from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import Receipt, SeriesKey
from digital_twin.domain.retention import Retention
from digital_twin.services.keeping import KeepingService
from digital_twin.telemetry import REGISTRY
from digital_twin.testing import FakeClock

DAY = timedelta(days=1)
TODAY = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC)
IN_THREE_DAYS = TODAY + 3 * DAY
ROUNDS = 12


@pytest.fixture(params=["embedded", "given"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    return request.getfixturevalue(f"{request.param}_server")


async def count(address: str, table: str) -> int:
    async with await psycopg.AsyncConnection.connect(address) as connection:
        row = await (await connection.execute(f"select count(*) from {table}")).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])


async def test_upkeep_leaves_one_entry_a_month_and_the_newest_key(server: DatabaseServer) -> None:
    merged = ("digital_twin_upkeep_total", {"step": "journal_runs_merged"})
    before = REGISTRY.get_sample_value(*merged) or 0
    async with server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        await live_day(store, homes_a_batch=10, homes=20)
        async with store.platform() as tx:
            await tx.communities.create(community("another"))
        await KeepingService(store, FakeClock(datetime.now(UTC))).keep_up_all()
        assert await count(address, "journal") == 192  # what came today is left alone
        assert await count(address, "batch") == 192
        await KeepingService(store, FakeClock(IN_THREE_DAYS)).keep_up_all()
        assert await count(address, "journal") == 1
        assert await count(address, "batch") == 1
    assert REGISTRY.get_sample_value(*merged) == before + 1


async def test_upkeep_removes_what_is_kept_no_longer(server: DatabaseServer) -> None:
    async with server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        await open_community(store)
        start = TODAY - 60 * DAY
        week = [series("load_kw", [1.0] * 96 * 7, member=home, start=start) for home in HOMES]
        await record(store, *week, key="week")
        async with store.community("solar_valley") as tx:
            await tx.keeping.retain(Retention(readings_days=60, journal_days=1))
        await KeepingService(store, FakeClock(IN_THREE_DAYS)).keep_up_all()
        async with store.community("solar_valley") as tx:
            [load] = await tx.readings.read([SeriesKey("load_kw", HOMES[0])], start, start + 7 * DAY)
        np.testing.assert_array_equal(load.values, [np.nan] * 96 * 3 + [1.0] * 96 * 4)
        assert await count(address, "dirty_day") == 0  # nobody asked for a sum so far
        assert (await load_sum(store, start=start, hours=7 * 24))[0] == [6.0] * 96 * 7
        assert await count(address, "journal") == 0


async def test_upkeep_finishes_an_erasure_that_was_cut_off(server: DatabaseServer) -> None:
    async with server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        await open_community(store)
        await record(store, series("load_kw", [1.0], member="home_1"), key="a")
        async with store.community("solar_valley") as tx:
            await tx.keeping.erase_member("home_1")
        assert await count(address, "journal") == 1
        await KeepingService(store, FakeClock(TODAY)).keep_up("solar_valley")
        assert await count(address, "journal") == 0
        assert await count(address, "journal_purge") == 0


class Writers:
    """Write one value to all slots of three homes at a time, each time another."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self.receipts: dict[float, Receipt] = {}
        self.done = asyncio.Event()

    async def write(self) -> None:
        await asyncio.gather(self._write(1), self._write(101))
        self.done.set()

    async def _write(self, first: int) -> None:
        for value in range(first, first + ROUNDS):
            batch = [series("load_kw", [float(value)] * 96, member=home) for home in HOMES[:3]]
            self.receipts[value] = await record(self._store, *batch, key=str(value))

    async def check(self) -> None:
        """Every batch so far is what was known right after it."""
        for value, receipt in list(self.receipts.items()):
            async with self._store.community("solar_valley") as tx:
                keys = [SeriesKey("load_kw", home) for home in HOMES[:3]]
                found = await tx.readings.read(keys, MONDAY, MONDAY + DAY, as_of=receipt.received_at)
            assert {known for one in found for known in one.values.tolist()} == {value}


async def test_batches_and_questions_go_on_while_the_journal_is_merged(server: DatabaseServer) -> None:
    async with server.database() as address, open_pool(address, size=6) as pool:
        store = PostgresStore(pool)
        await open_community(store)
        writers, upkeep = Writers(store), KeepingService(store, FakeClock(IN_THREE_DAYS))

        async def keep_up() -> None:
            while not writers.done.is_set():
                await upkeep.keep_up_all()
                await writers.check()

        await asyncio.gather(writers.write(), keep_up())
        assert len(writers.receipts) == 2 * ROUNDS
        await upkeep.keep_up_all()
        assert await count(address, "journal") == 1
        await writers.check()


async def size_of(address: str, *tables: str) -> int:
    """Bytes of these tables with their indexes, after the vacuum that the server does by itself sooner or later."""
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        size = 0
        for table in tables:
            await connection.execute(f"vacuum {table}")  # type: ignore[arg-type]
            row = await (await connection.execute("select pg_total_relation_size(%s::regclass)", (table,))).fetchone()
            assert row is not None
            size += int(row[0])
    return size


async def leave_to_pruning(address: str, table: str) -> None:
    """No autovacuum, whose snapshot on a busy machine lasts for many updates, and keeps their old rows."""
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        await connection.execute(f"alter table {table} set (autovacuum_enabled = off)")  # type: ignore[arg-type]


async def test_rows_that_change_with_every_quarter_hour_stay_on_their_pages(server: DatabaseServer) -> None:
    homes = [f"home_{home}" for home in range(100)]
    async with server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        async with store.platform() as tx:
            await tx.communities.create(community())
        async with store.community("solar_valley") as tx:
            await tx.members.put_members([Member(home) for home in homes])
        await leave_to_pruning(address, "reading_open")
        empty = await size_of(address, "reading_open")
        for slot in range(96):
            at = TODAY - 2 * DAY + slot * timedelta(minutes=15)
            await record(store, *(series("load_kw", [1.0], member=home, start=at) for home in homes), key=str(slot))
        grown = await size_of(address, "reading_open") - empty
    # a row has 408 bytes of slots and some 60 around them; at a fill factor of 45 its page has room for as much again,
    # and each of the 96 versions would otherwise take a place of its own
    assert grown < 4 * len(homes) * 470 / 0.45


async def test_days_that_come_and_go_leave_the_journal_no_larger(server: DatabaseServer) -> None:
    sizes: list[int] = []
    async with server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        await open_community(store)
        async with store.community("solar_valley") as tx:
            await tx.keeping.retain(Retention(readings_days=30, journal_days=1))
        for day in range(6):
            for slot in range(48):
                at = TODAY - 40 * DAY + day * DAY + slot * timedelta(minutes=15)
                batch = [series("load_kw", [1.0], member=home, start=at) for home in HOMES]
                await record(store, *batch, key=f"{day} {slot}")
            await KeepingService(store, FakeClock(IN_THREE_DAYS)).keep_up("solar_valley")
            sizes.append(await size_of(address, "journal", "batch", "reading_open", "reading_closed", "dirty_day"))
    # what a day leaves free the next one takes; pages do not become fewer, so that the second day is the measure
    assert max(sizes[2:]) <= 1.25 * sizes[1]

"""Old days move to the compact table while others read and write them."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from tests.builders import community, series
from tests.databases import DatabaseServer

from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.locks import hold_community
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import Receipt, SeriesKey
from digital_twin.services.ports import Store

HOMES = ("h1", "h2", "h3")
DAYS, ROUNDS = 5, 8
LOAD = SeriesKey("load_kw", "h1")


@pytest.fixture(params=["embedded", "given"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    return request.getfixturevalue(f"{request.param}_server")


async def open_again(address: str) -> int:
    """As if the days had been written when they were new and nobody had written since; how many rows moved back."""
    async with await psycopg.AsyncConnection.connect(address) as connection:
        found = await (await connection.execute("select id from community")).fetchone()
        assert found is not None
        await hold_community(connection, found[0])
        await connection.execute("update reading_horizon set open_from = open_from - 60")
        moved = await connection.execute(
            "with moved as (delete from reading_closed returning *) insert into reading_open select * from moved"
        )
        return moved.rowcount


class Writer:
    """Writes one value to every slot of every home, each time another."""

    def __init__(self, store: Store, start: datetime) -> None:
        self._store = store
        self._start = start
        self.receipts: dict[float, Receipt] = {}

    async def write(self, value: float) -> None:
        batch = [series("load_kw", [value] * 96 * DAYS, member=home, start=self._start) for home in HOMES]
        async with self._store.community("solar_valley") as tx:
            receipt = await tx.readings.record(batch, key=str(value))
        self.receipts[value] = receipt

    @property
    def last(self) -> float:
        return max(self.receipts, key=lambda value: self.receipts[value].received_at)


async def seen_by(store: Store, start: datetime, as_of: datetime | None) -> set[float]:
    """The values that one home's readings and the sum of all show; each of the two is of one batch."""
    end = start + timedelta(days=DAYS)
    async with store.community("solar_valley") as tx:
        [load] = await tx.readings.read([LOAD], start, end, as_of=as_of)
    async with store.community("solar_valley") as tx:
        total = await tx.readings.community_sum("load_kw", start, end, as_of=as_of)
    assert total is not None
    assert set(total.reporting.tolist()) == {len(HOMES)}
    [value], [sum_of_all] = set(load.values.tolist()), set(total.total.tolist())
    return {value, sum_of_all / len(HOMES)}


async def test_days_that_close_meanwhile_are_read_whole_and_once(server: DatabaseServer) -> None:
    start = datetime.combine(datetime.now(UTC).date() - timedelta(days=50), datetime.min.time(), UTC)
    async with server.database() as address, open_pool(address, size=6) as pool:
        store = PostgresStore(pool)
        async with store.platform() as tx:
            await tx.communities.create(community())
        async with store.community("solar_valley") as tx:
            await tx.members.put_members([Member(home) for home in HOMES])
        writer = Writer(store, start)
        await writer.write(1.0)
        first, reopened, finished = writer.receipts[1.0].received_at, 0, asyncio.Event()

        async def reopen() -> None:
            nonlocal reopened
            while not finished.is_set():
                reopened += await open_again(address) > 0

        async def read(as_of: datetime | None) -> set[float]:
            seen: set[float] = set()
            while not finished.is_set():
                seen |= await seen_by(store, start, as_of)
            return seen

        async def write(offset: int) -> None:
            for number in range(ROUNDS):
                await writer.write(float(offset + number))

        async def write_all() -> None:
            await asyncio.gather(write(10), write(100))
            finished.set()

        now, past, *_ = await asyncio.gather(read(None), read(first), write_all(), reopen())
        assert past == {1.0}
        assert now <= set(writer.receipts)
        assert reopened > 1
        assert len({receipt.received_at for receipt in writer.receipts.values()}) == 1 + 2 * ROUNDS
        for value, receipt in writer.receipts.items():
            assert await seen_by(store, start, receipt.received_at) == {value}
        assert await seen_by(store, start, None) == {writer.last}

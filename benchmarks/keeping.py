"""What is kept: a year of a sum and of one home, the journal before and after merging, and upkeep's pauses.

The floor of each question is the plain SELECT of the same arrays by their key, prepared, over the same driver.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from tests.builders import community

from benchmarks.measure import Result, milliseconds, report, rounds_asked, significant, take_turns
from digital_twin.adapters.postgres.database import migrate, open_pool
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.services.keeping import KeepingService
from digital_twin.testing import FakeClock

HOMES, DAYS, SLOTS = 2_000, 365, 96
LIVE_HOMES, HOMES_A_BATCH = 1_000, 100
OLD_DAYS = 6
TODAY = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC)
END = TODAY - timedelta(days=36)
START = END - timedelta(days=DAYS)
OLD = TODAY - timedelta(days=35 + OLD_DAYS)
"""The first of the days that upkeep closes here; a batch would close them after a week."""

ASKED = SeriesKey("load_kw", f"home_{HOMES // 2}")


class Bench:
    """A store on a server of its own."""

    def __init__(self, address: str, runner: asyncio.Runner) -> None:
        self.address = address
        self._runner = runner
        self._pool = open_pool(address, size=4)
        runner.run(self._pool.open())
        self.store = PostgresStore(self._pool)

    def run(self, work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        return self._runner.run(awaited())

    def close(self) -> None:
        self._runner.run(self._pool.close())

    async def open_community(self, name: str, homes: int) -> None:
        async with self.store.platform() as tx:
            await tx.communities.create(community(name, num_prosumers=homes))
        async with self.store.community(name) as tx:
            await tx.members.put_members([Member(f"home_{home}") for home in range(homes)])

    async def record(self, name: str, readings: list[SeriesValues], key: str) -> None:
        async with self.store.community(name) as tx:
            await tx.readings.record(readings, key=key)

    def keep_up(self, name: str) -> None:
        """From another thread, as a worker would from another process."""

        async def keep_up() -> None:
            async with open_pool(self.address, size=1) as pool:
                await KeepingService(PostgresStore(pool), FakeClock(TODAY + timedelta(days=3))).keep_up(name)

        asyncio.run(keep_up())

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.address, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


def fill_year(bench: Bench) -> None:
    """A closed year of quarter-hours, in whole watts, by SQL: as the store itself would have written it."""
    bench.run(bench.open_community("year", HOMES))
    of_year = "(select id from community where community_id = 'year')"
    bench.sql(
        "insert into series (community, name, member_id, resolution_minutes) "
        f"select {of_year}, 'load_kw', 'home_' || home, 15 from generate_series(0, {HOMES - 1}) home"
    )
    bench.sql(f"insert into reading_horizon values ({of_year}, date '{END:%Y-%m-%d}')")
    for first in range(0, DAYS, 30):
        last = min(first + 29, DAYS - 1)
        bench.sql(
            "insert into reading_closed "
            f"select s.community, date '{START:%Y-%m-%d}' + day, s.id, "
            f"array(select round((3 * random() + 0 * s.id)::numeric, 3)::real from generate_series(1, {SLOTS})) "
            f"from generate_series({first}, {last}) day, series s "
            f"where s.community = {of_year} order by day, s.id"
        )
    bench.sql("insert into dirty_day select distinct community, day from reading_closed")
    bench.run(bench.record("year", [SeriesValues(ASKED, TimeGrid(START, 1, 15), np.ones(1))], "first"))
    bench.sql("vacuum analyze")


class Reads:
    """Questions about the year, and their floors."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._connection = psycopg.connect(bench.address, prepare_threshold=0)
        [(self._community,)] = bench.sql("select id from community where community_id = 'year'")
        [(self._series,)] = bench.sql(f"select id from series where member_id = '{ASKED.member_id}'")

    def close(self) -> None:
        self._connection.close()

    def work(self) -> dict[str, Callable[[int], object]]:
        of_days = (self._community, START.date(), END.date())
        by_key = (
            "select day, slots from generate_series(%s::date, %s::date - 1, interval '1 day') at cross join lateral "
            "(select day, slots from reading_closed where community = %s and day = at::date and series = %s offset 0) r"
        )
        return {
            "a community's sum": lambda _: self._bench.run(self._sum()),
            "floor: SELECT of the sums": lambda _: self._fetch(
                "select day, total, reporting from rollup where community = %s and name = 'load_kw' "
                "and day between %s and %s order by day",
                of_days,
            ),
            "a home's readings": lambda _: self._bench.run(self._home()),
            "floor: SELECT of the rows": lambda _: self._fetch(
                by_key, (START.date(), END.date(), self._community, self._series)
            ),
            "the list of series": lambda _: self._bench.run(self._list()),
            "floor: SELECT of the series": lambda _: self._fetch(
                "select name, member_id, first_day, last_day from series where community = %s", (self._community,)
            ),
        }

    def _fetch(self, query: str, values: tuple[Any, ...]) -> None:
        if not self._connection.execute(query, values, binary=True).fetchall():  # type: ignore[call-overload]
            raise RuntimeError(query)

    async def _sum(self) -> None:
        async with self._bench.store.community("year") as tx:
            found = await tx.readings.community_sum("load_kw", START, END)
        if found is None or found.reporting.min() != HOMES:
            raise RuntimeError("the sum is not whole")

    async def _home(self) -> None:
        async with self._bench.store.community("year") as tx:
            [found] = await tx.readings.read([ASKED], START, END)
        if np.isnan(found.values).any():
            raise RuntimeError("readings are missing")

    async def _list(self) -> None:
        async with self._bench.store.community("year") as tx:
            if len(await tx.readings.series()) != HOMES:
                raise RuntimeError("series are missing")


def batch(start: datetime, homes: range, values: int) -> list[SeriesValues]:
    grid, generator = TimeGrid(start, values, 15), np.random.default_rng(homes.start)
    return [
        SeriesValues(SeriesKey("load_kw", f"home_{home}"), grid, generator.random(values).round(3)) for home in homes
    ]


class Live:
    """A community to which readings come while upkeep goes on."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._number = 0

    async def record(self, readings: list[SeriesValues]) -> float:
        """The seconds that it took."""
        self._number += 1
        started = time.perf_counter()
        await self._bench.record("live", readings, str(self._number))
        return time.perf_counter() - started

    async def fill(self) -> None:
        """Old days that are still open, and one day of small batches, as they come in."""
        await self._bench.open_community("live", LIVE_HOMES)
        self._bench.sql(
            f"insert into reading_horizon select id, date '{OLD:%Y-%m-%d}' from community where community_id = 'live'"
        )
        for day in range(OLD_DAYS):
            await self.record(batch(OLD + timedelta(days=day), range(LIVE_HOMES), SLOTS))
        for slot in range(SLOTS):
            await self.record_slot(slot)

    async def record_slot(self, slot: int, *, days_ago: int = 2) -> list[float]:
        """One quarter-hour of all homes in small batches; the seconds that each took."""
        start = TODAY - timedelta(days=days_ago) + slot * timedelta(minutes=15)
        firsts = range(0, LIVE_HOMES, HOMES_A_BATCH)
        return [await self.record(batch(start, range(first, first + HOMES_A_BATCH), 1)) for first in firsts]

    async def waits(self, meanwhile: Awaitable[None] | None = None) -> list[float]:
        """What small batches take, at least two quarter-hours of them and as long as something else goes on."""
        other = None if meanwhile is None else asyncio.ensure_future(meanwhile)
        found, slot = list[float](), 0
        while slot < 2 or (other is not None and not other.done()):
            found += await self.record_slot(slot % SLOTS, days_ago=1 if other is None else 0)
            slot += 1
        if other is not None:
            await other
        return found


def journal_bytes(bench: Bench) -> int:
    """Bytes of journal and keys on disk, without dead rows."""
    bench.sql("vacuum full journal")
    bench.sql("vacuum full batch")
    [(size,)] = bench.sql("select pg_total_relation_size('journal') + pg_total_relation_size('batch')")
    return int(size)


def upkeep_rows(bench: Bench) -> list[list[str]]:
    live, empty, readings = Live(bench), journal_bytes(bench), LIVE_HOMES * SLOTS
    bench.run(live.fill())
    before = journal_bytes(bench)
    alone = bench.run(live.waits())
    beside = bench.run(live.waits(asyncio.to_thread(bench.keep_up, "live")))
    bench.keep_up("live")  # what came meanwhile, too
    after = journal_bytes(bench)
    return [
        ["journal and keys, bytes a reading of small batches: as they came", significant((before - empty) / readings)],
        ["the same after upkeep", significant((after - empty) / readings)],
        ["a small batch alone, ms: median, longest", of_batches(alone)],
        ["a small batch during upkeep, ms: median, longest", of_batches(beside)],
    ]


def of_batches(seconds: list[float]) -> str:
    return f"{significant(1e3 * float(np.median(seconds)))}, {significant(1e3 * max(seconds))}"


@contextmanager
def server() -> Generator[Bench]:
    with tempfile.TemporaryDirectory() as home, asyncio.Runner() as runner:
        database = EmbeddedPostgres(Path(home))
        try:
            address = database.start()
            runner.run(migrate(address))
            bench = Bench(address, runner)
            try:
                yield bench
            finally:
                bench.close()
        finally:
            database.stop()


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 9)
    with server() as bench:
        rows = upkeep_rows(bench)
        fill_year(bench)
        bench.keep_up("year")
        reads = Reads(bench)
        timings = take_turns(reads.work(), rounds=rounds)
        reads.close()
    names = list(timings.seconds)
    read_rows = [
        [name, milliseconds(timings.of(name)), timings.ratio(name, names[place | 1]).text()]
        for place, name in enumerate(names)
    ]
    columns = (f"a year of {HOMES:,} homes at 15 minutes", "ms: median (quartiles)", "x its floor")
    report(Result("keeping_reads", columns, read_rows), "scripts/bench keeping")
    title = f"a day of {LIVE_HOMES:,} homes in batches of {HOMES_A_BATCH}, {OLD_DAYS} days to close"
    report(Result("keeping_upkeep", (title, "measured"), rows), "scripts/bench keeping")


if __name__ == "__main__":
    main()

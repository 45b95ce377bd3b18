"""Live readings: what one more slot of every meter costs, and what a year of them takes on disk.

Batches of one slot of all meters go through the store, one after the other. Write-ahead log counts all of it: rows,
journal, batch and days due. An update is in place (HOT) where its new version finds room on the page and no index has
to be touched; how often that is, and how large the open table becomes, is a matter of the fill factor.

The year: meters are read live while each night the oldest open day is closed and the open table is vacuumed when as
many of its rows are dead as autovacuum waits for. The window of open days is shortened, and autovacuum's threshold with
the number of meters; a year is its open days, those whose pages wait to be used again, and closed days for the rest.
"""

import asyncio
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
from psycopg import sql
from tests.builders import community

from benchmarks.measure import Result, report, rounds_asked, significant
from digital_twin.adapters.postgres import open_days
from digital_twin.adapters.postgres.database import Pool, migrate, open_pool
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid

METERS = 500
OPEN_DAYS_HERE = 2
YEAR_DAYS = 365
DEAD_ROWS_A_METER = 2
"""Autovacuum waits for 20,000 dead rows: two for each meter of 10,000."""
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
KEYS = [SeriesKey("load_kw", f"meter_{number}") for number in range(METERS)]


class Live:
    """A community whose meters are read live."""

    def __init__(self, address: str, pool: Pool, runner: asyncio.Runner) -> None:
        self._owner = psycopg.connect(address, autocommit=True)
        self._pool, self._store, self._runner = pool, PostgresStore(pool), runner
        self._rng = np.random.default_rng(1)

    def begin(self, fill_factor: int) -> None:
        """An empty store with this fill factor."""
        for table in ("reading_open", "reading_open_piece"):
            self._owner.execute(
                sql.SQL("alter table {} set (fillfactor = {})").format(sql.Identifier(table), sql.Literal(fill_factor))
            )
        self._owner.execute("truncate community cascade")
        self._owner.execute("truncate reading_open, reading_closed")
        self._runner.run(self._make_community())

    async def _make_community(self) -> None:
        async with self._store.platform() as tx:
            await tx.communities.create(community("valley"))
        async with self._store.community("valley") as tx:
            await tx.members.put_members([Member(str(key.member_id)) for key in KEYS])

    def read_meters(self, start: datetime, minutes: int, slots: int) -> None:
        """One batch a slot."""
        self._runner.run(self._read_meters(start, minutes, slots))

    async def _read_meters(self, start: datetime, minutes: int, slots: int) -> None:
        for slot in range(slots):
            grid = TimeGrid(start + timedelta(minutes=minutes * slot), 1, minutes)
            values = self._rng.gamma(2, 0.3, (METERS, 1)).round(3)
            batch = [SeriesValues(key, grid, value) for key, value in zip(KEYS, values, strict=True)]
            async with self._store.community("valley") as tx:
                receipt = await tx.readings.record(batch, key=str(uuid4()))
            if receipt.stored != METERS:
                raise RuntimeError(f"{receipt} should store {METERS}")

    def close_a_day(self) -> None:
        async def close() -> None:
            async with self._store.community("valley") as tx:
                await tx.keeping.close_day()

        self._runner.run(close())

    def vacuum_if_due(self) -> None:
        self._flush_statistics()
        if self._one("select n_dead_tup from pg_stat_user_tables where relname = 'reading_open'") >= (
            DEAD_ROWS_A_METER * METERS
        ):
            self._owner.execute("vacuum reading_open")

    def log_bytes(self) -> int:
        return self._one("select (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint")

    def updates(self, table: str) -> tuple[int, int]:
        """All, and those in place."""
        self._flush_statistics()
        row = self._owner.execute(
            "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = %s", (table,)
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def bytes_of(self, *tables: str) -> int:
        """With their indexes; without maps of free space, which weigh only in tables as small as here."""
        size = "select pg_relation_size('{0}') + pg_indexes_size('{0}') + coalesce(pg_relation_size(reltoastrelid), 0) "
        return sum(self._one((size + "from pg_class where relname = '{0}'").format(table)) for table in tables)

    def _flush_statistics(self) -> None:
        async def flush() -> None:
            async with self._pool.connection() as connection:
                await connection.execute("select pg_stat_force_next_flush()")

        self._runner.run(flush())

    def _one(self, query: str) -> int:
        row = self._owner.execute(query).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        self._owner.close()


@dataclass(frozen=True, slots=True)
class Case:
    """A resolution and a fill factor."""

    minutes: int
    fill_factor: int
    slots: int

    @property
    def table(self) -> str:
        return "reading_open" if self.minutes >= 5 else "reading_open_piece"


CASES = [Case(15, fill, 96) for fill in (100, 70, 50, 45)] + [Case(5, 45, 96), Case(1, 45, 96)]


def measure_case(live: Live, case: Case) -> list[str]:
    """The table's row: one day of slots, of which the first opens the rows."""
    live.begin(case.fill_factor)
    live.read_meters(TODAY, case.minutes, 1)
    log_before, (updates_before, hot_before) = live.log_bytes(), live.updates(case.table)
    live.read_meters(TODAY + timedelta(minutes=case.minutes), case.minutes, case.slots - 1)
    readings = METERS * (case.slots - 1)
    log = (live.log_bytes() - log_before) / readings
    updates, hot = live.updates(case.table)
    in_place = 100 * (hot - hot_before) / (updates - updates_before)
    size = live.bytes_of(case.table) / METERS / (1440 // case.minutes if case.minutes >= 5 else 288)
    return [f"{case.minutes} min", str(case.fill_factor), significant(log), significant(in_place), significant(size)]


def measure_year(live: Live, days: int) -> str:
    """Bytes a reading after a year, from so many days."""
    live.begin(45)
    kept, fresh = open_days.OPEN_DAYS, 0
    for day in range(days):
        days_ago = days - 1 - day
        open_days.OPEN_DAYS = days_ago + OPEN_DAYS_HERE  # before the day is over
        live.read_meters(TODAY - timedelta(days=days_ago), 15, 96)
        if day < OPEN_DAYS_HERE:
            fresh = live.bytes_of("reading_open")
        open_days.OPEN_DAYS = days_ago + OPEN_DAYS_HERE - 1
        live.close_a_day()
        live.vacuum_if_due()
    open_days.OPEN_DAYS = kept
    a_day = METERS * 96
    opened = fresh / a_day / OPEN_DAYS_HERE
    spare_days = (live.bytes_of("reading_open") - fresh) / (fresh / OPEN_DAYS_HERE)
    closed = live.bytes_of("reading_closed") / a_day / (days - OPEN_DAYS_HERE)
    journal = live.bytes_of("journal") / a_day / days
    year = ((kept + spare_days) * opened + (YEAR_DAYS - kept) * closed) / YEAR_DAYS
    return (
        f"{days} days of {METERS} meters: {significant(opened)} bytes a reading on open days, {significant(closed)} on "
        f"closed ones, indexes and dead rows included; emptied pages of {significant(spare_days)} days wait to be used "
        f"again. So a year of which {kept} days are open takes **{significant(year)} bytes a reading**. Not counted: "
        f"the journal, {significant(journal)} bytes a reading until upkeep merges it, and flags, a byte a slot of rows "
        "that hold any."
    )


@contextmanager
def live_community() -> Generator[Live]:
    with tempfile.TemporaryDirectory() as home, asyncio.Runner() as runner:
        database = EmbeddedPostgres(Path(home))
        address = database.start()
        try:
            runner.run(migrate(address))
            pool = open_pool(address, size=2)
            runner.run(pool.open())
            live = Live(address, pool, runner)
            try:
                yield live
            finally:
                live.close()
                runner.run(pool.close())
        finally:
            database.stop()


def main() -> None:
    days = rounds_asked(__doc__ or "", 10)
    with live_community() as live:
        rows = [measure_case(live, case) for case in CASES]
        note = measure_year(live, days)
    columns = ("resolution", "fill factor", "log, bytes a reading", "in place, %", "open table, bytes a slot")
    report(Result("live", columns, rows, [note]), "scripts/bench live")


if __name__ == "__main__":
    main()

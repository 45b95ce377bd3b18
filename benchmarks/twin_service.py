"""The service of states: how many core-seconds a quarter of an hour of many communities takes, on a real database.

What is counted is the processor time of this process, of the warm process that computes and of PostgreSQL, from looking
what is due to the commit; the readings have come before. What the machine does besides is not in it.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
from tests.builders import community

from benchmarks.measure import Result, Spread, report, significant
from digital_twin.adapters.compute import WarmPool
from digital_twin.adapters.postgres.database import migrate, open_pool
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.services import computations
from digital_twin.services.states import StateService
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import Recipe, SyntheticCommunity
from digital_twin.testing import FakeClock

HOMES, DAYS, ROUNDS = 5, 14, 5
START = datetime(2026, 6, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
QUARTER_S = 900.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Processes:
    """Whose processor time counts; each with what it has started."""

    here: int
    database: int

    @classmethod
    def behind(cls, address: str) -> "Processes":
        with psycopg.connect(address) as connection:
            [(backend,)] = connection.execute("select pg_backend_pid()").fetchall()
            return cls(os.getpid(), _parents()[backend])

    def seconds(self) -> dict[str, float]:
        """Processor time so far: of the service, of what it computes with, and of the database."""
        family = _family(self.here) - _family(self.database)
        return {
            "service": _seconds([self.here]),
            "computing": _seconds(family - {self.here}),
            "database": _seconds(_family(self.database)),
        }


def _parents() -> dict[int, int]:
    return {
        int(path.name): int(_stat(path)[1]) for path in Path("/proc").iterdir() if path.name.isdigit() and _stat(path)
    }


def _stat(path: Path) -> list[str]:
    """The fields after the name, which may hold anything; none of a process that has ended meanwhile."""
    try:
        return (path / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _family(pid: int) -> set[int]:
    parents, found = _parents(), {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _seconds(processes: Iterable[int]) -> float:
    """User and system time, that of children which have ended included."""
    stats = [stat for one in processes if (stat := _stat(Path(f"/proc/{one}")))]
    return sum(int(field) for stat in stats for field in stat[11:15]) / TICKS_A_SECOND


@dataclass(slots=True)
class Bench:
    """Communities of a few metered homes with a roof each, whose quarters come one by one."""

    store: PostgresStore
    service: StateService
    clock: FakeClock
    processes: Processes
    load_kw: np.ndarray  # (T, HOMES)
    pv_kw: np.ndarray  # (T,)
    names: list[str]
    step: int = DAYS * 96
    keys: int = field(default=0)

    async def open(self) -> None:
        """All with their history, whose states have not seen it yet."""
        for name in self.names:
            async with self.store.platform() as tx:
                await tx.communities.create(community(name, num_prosumers=HOMES + 2))
            async with self.store.community(name) as tx:
                await tx.members.put_members([Member(f"h{home}") for home in range(HOMES)])
        await self.record(0, self.step)

    async def record(self, first: int, steps: int, homes: range = range(HOMES), *, more_kw: float = 0.0) -> None:
        """What the meters of all communities show in these steps, or so much more as a correction."""
        self.keys += 1
        grid = TimeGrid(START + first * QUARTER, steps, 15)
        for place, name in enumerate(self.names):
            part = slice(first, first + steps)
            size = 0.7 + 0.6 * (place % 11) / 10
            told = [
                SeriesValues(SeriesKey("load_kw", f"h{home}"), grid, size * self.load_kw[part, home] + more_kw)
                for home in homes
            ]
            async with self.store.community(name) as tx:
                await tx.readings.record(
                    [*told, SeriesValues(SeriesKey("pv_kw"), grid, size * self.pv_kw[part])], key=str(self.keys)
                )

    async def advance(self) -> dict[str, float]:
        """Processor time of bringing all up to date, by whose it is, and the wall's."""
        before, started = self.processes.seconds(), time.perf_counter()
        for name in await self.service.due():
            await self.service.advance(name)
        after = self.processes.seconds()
        if await self.service.due():
            raise RuntimeError("a community was left behind")
        return {whose: after[whose] - before[whose] for whose in after} | {"wall": time.perf_counter() - started}

    async def quarter(self) -> dict[str, float]:
        """The next quarter of an hour."""
        await self.record(self.step, 1)
        self.step += 1
        self.clock.advance(minutes=15)
        return await self.advance()

    async def late_quarter(self) -> dict[str, float]:
        """The next one, in which one home corrects an hour of twenty hours ago."""
        await self.record(self.step - 80, 4, range(1), more_kw=0.1)
        return await self.quarter()


@asynccontextmanager
async def bench_of(count: int) -> AsyncGenerator[Bench]:
    recipe = Recipe(HOMES, Place(48.2, 16.4, "Europe/Vienna"), TimeGrid(START, (DAYS + 2) * 96, 15), seed=1)
    homes = list(SyntheticCommunity(recipe).series())
    with tempfile.TemporaryDirectory() as home:
        database = EmbeddedPostgres(Path(home))
        pool = WarmPool(1, preload=computations.PRELOADED, warm_up=computations.warm_up)
        try:
            address = database.start()
            await migrate(address)
            pool.start()
            async with open_pool(address, size=2) as connections:
                store, clock = PostgresStore(connections), FakeClock(START + timedelta(days=DAYS, seconds=1))
                load_kw = np.stack([one.load_kw for one in homes], axis=1)
                pv_kw = np.sum([one.pv_kw for one in homes], axis=0)
                names = [f"c{place:04d}" for place in range(count)]
                service = StateService(store, clock, pool)
                yield Bench(store, service, clock, Processes.behind(address), load_kw, pv_kw, names)
        finally:
            pool.close()
            database.stop()


async def measured(count: int) -> list[tuple[str, list[dict[str, float]]]]:
    async with bench_of(count) as bench:
        await bench.open()
        learned = await bench.advance()
        await bench.quarter()  # what is prepared once is not measured
        quarters = [await bench.quarter() for _ in range(ROUNDS)]
        late = [await bench.late_quarter() for _ in range(ROUNDS)]
    return [
        ("a quarter of an hour of all meters", quarters),
        ("the same, and one meter corrects an hour of twenty hours ago", late),
        (f"learned anew from {DAYS} days, once a week", [learned]),
    ]


def row(title: str, rounds: list[dict[str, float]], count: int) -> list[str]:
    """Core-seconds of so many communities, as 1,000 would need."""
    scale = 1000 / count

    def spread(of: Callable[[dict[str, float]], float]) -> str:
        return Spread.of(np.array([scale * of(one) for one in rounds])).text()

    cores = [scale * (one["service"] + one["computing"] + one["database"]) for one in rounds]
    parts = [spread(lambda one, whose=whose: one[whose]) for whose in ("service", "computing", "database")]
    return [title, Spread.of(np.array(cores)).text(), *parts, significant(QUARTER_S / float(np.median(cores)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--communities", type=int, default=1000)
    count = parser.parse_args().communities
    rows = [row(title, rounds, count) for title, rounds in asyncio.run(measured(count))]
    columns = (
        f"1,000 communities of {HOMES} meters and a sum of PV", "core-seconds", "of which the service", "computing",
        "PostgreSQL", "x in a quarter of an hour of one core",
    )  # fmt: skip
    notes = [f"Measured with {count:,} communities, {ROUNDS} rounds; processor time, so that other load is not in it."]
    report(Result("twin_service", columns, rows, notes), "scripts/bench twin_service")


if __name__ == "__main__":
    main()

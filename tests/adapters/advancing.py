"""A process that records and advances a community hour by hour, so that a test can kill it.

It says each hour that it begins, and stands still at the moment it was told: `computed`, with the answer in hand, or
`kept`, when all is written and nothing committed; `never` lets it come to its end. It is forked from a process that has
imported everything, since a test wants many of them.
"""

import asyncio
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import numpy as np
from tests.builders import MONDAY, series

from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.services.ports import Store, Transaction
from digital_twin.services.state_plans import Plan
from digital_twin.services.state_updates import Advance
from digital_twin.services.states import StateService
from digital_twin.services.twin_steps import TwinAnswer
from digital_twin.testing import FakeClock, InProcessPool

T = TypeVar("T")
CLOCK = FakeClock(MONDAY + timedelta(days=30))
HISTORY_HOURS = 72
MEMBERS = ("h1", "h2", "h3")
PATIENCE_S = 120.0


def load_kw(member: str, first: int, hours: int) -> list[float]:
    """Of a member, from this hour on."""
    hour = np.arange(first, first + hours)
    return (1 + MEMBERS.index(member) + np.sin(2 * np.pi * hour / 24) * 0.5 + 0.1 * np.cos(hour * 2.7)).tolist()


async def record(store: Store, community: str, first: int, hours: int) -> None:
    """What the members used; the last of them tells of each third hour two hours late."""
    told = [
        series("load_kw", load_kw(name, first, hours), member=name, minutes=60, start=_at(first)) for name in MEMBERS
    ]
    late = first >= HISTORY_HOURS and first % 3 == 0
    if first > HISTORY_HOURS + 2 and first % 3 == 2:
        told.append(
            series("load_kw", load_kw(MEMBERS[-1], first - 2, 1), member=MEMBERS[-1], minutes=60, start=_at(first - 2))
        )
    async with store.community(community) as tx:
        await tx.readings.record(told[:-1] if late else told, key=f"hour {first}")


def _at(hour: int) -> Any:
    return MONDAY + timedelta(hours=hour)


class Advancing:
    """The process, which is running."""

    def __init__(self, address: str, community: str, *, hours: int, moment: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._hearing, saying = context.Pipe(duplex=False)
        self._process = context.Process(target=_advance, args=(saying, address, community, hours, moment), daemon=True)
        self._process.start()
        saying.close()

    def kill_when(self, word: str, *, after_s: float = 0.0) -> None:
        """SIGKILL, so long after it has said this word; or after its end, if that comes first."""
        while self._hears() != word:
            pass
        self._process.join(after_s)
        self._process.kill()
        self._process.join()
        self._hearing.close()

    def finish(self) -> None:
        """Hear it out; it must come to its end well."""
        with suppress(EOFError):
            while True:
                self._hears()
        self._process.join()
        assert self._process.exitcode == 0
        self._hearing.close()

    def _hears(self) -> str:
        """Raises EOFError when it has ended."""
        assert self._hearing.poll(PATIENCE_S), "it stands still"
        return self._hearing.recv()


def _advance(saying: Connection, address: str, community: str, hours: int, moment: str) -> None:
    asyncio.run(_run(saying.send, address, community, hours, moment))


async def _run(say: Callable[[str], None], address: str, community: str, hours: int, moment: str) -> None:
    """Record and advance until told otherwise."""

    async def stand() -> Any:
        say("standing")
        return await asyncio.Future()

    class Standing(InProcessPool):
        """Stands still with the answer in hand."""

        async def call(self, function: Callable[..., T], *args: Any, timeout_s: float) -> T:
            await super().call(function, *args, timeout_s=timeout_s)
            return await stand()

    class Uncommitted(StateService):
        """Stands still before the commit."""

        async def _keep(self, tx: Transaction, plan: Plan, answer: TwinAnswer) -> Advance:
            await super()._keep(tx, plan, answer)
            return await stand()

    async with open_pool(address, size=2) as connections:
        store = PostgresStore(connections)
        kind = Uncommitted if moment == "kept" else StateService
        service = kind(store, CLOCK, Standing() if moment == "computed" else InProcessPool())
        for hour in range(HISTORY_HOURS, HISTORY_HOURS + hours):
            say(str(hour))
            await record(store, community, hour, 1)
            await service.advance(community)

"""The journal is merged, and keys are forgotten, without anything being known differently at any instant."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import community, series
from tests.databases import DatabaseServer

from digital_twin.adapters.postgres import compaction
from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.retention import Retention
from digital_twin.domain.time import TimeGrid
from digital_twin.services.keeping import KeepingService
from digital_twin.services.ports import Store, StoredResult
from digital_twin.services.schedule_document import new_result_id
from digital_twin.testing import FakeClock, MemoryStore

START = datetime(2026, 1, 30, tzinfo=UTC)  # the readings lie in two months
DAYS = 4
HOMES = ("h1", "h2", "h3")
KEYS = [SeriesKey("load_kw", home) for home in HOMES]
FAR = datetime(2100, 1, 1, tzinfo=UTC)
_number = count()

stretch = st.tuples(
    st.sampled_from(HOMES),
    st.integers(0, 96 * DAYS - 60),
    st.lists(st.sampled_from([np.nan, 0.0, 1.0, 2.5]), min_size=1, max_size=60),
    st.none() | st.integers(0, 3),
)
write = st.tuples(st.just("write"), st.lists(stretch, min_size=1, max_size=3), st.booleans())
upkeep = st.tuples(st.sampled_from(["compact", "compact and fail", "forget keys"]), st.floats(0, 1.2))


class _Interrupted(Exception):
    pass


def readings_of(stretches: Sequence[tuple[str, int, list[float], int | None]]) -> list[SeriesValues]:
    return [
        SeriesValues(
            SeriesKey("load_kw", home),
            TimeGrid(START + slot * timedelta(minutes=15), len(values), 15),
            np.array(values),
            None if flag is None else np.full(len(values), flag, dtype=np.uint8),
        )
        for home, slot, values, flag in stretches
    ]


async def open_community(store: Store, name: str) -> None:
    async with store.platform() as tx:
        await tx.communities.create(community(name))
    async with store.community(name) as tx:
        await tx.members.put_members([Member(home) for home in HOMES])


async def compact_all(store: Store, name: str, received_before: datetime = FAR) -> int:
    """Merge until there is nothing left; how many entries that saved."""
    saved = 0
    while True:
        async with store.community(name) as tx:
            assert await tx.keeping.begin_upkeep()
            step = await tx.keeping.compact(received_before)
        if step is None:
            return saved
        saved += step.before - step.after


async def assert_same(store: Store, oracle: Store, name: str, as_of: datetime | None) -> None:
    async with store.community(name) as tx, oracle.community(name) as other:
        found, expected = [
            await one.readings.read(KEYS, START, START + timedelta(days=DAYS), as_of=as_of) for one in (tx, other)
        ]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.values, theirs.values)
        flags = [np.zeros(one.grid.steps) if one.flags is None else one.flags for one in (ours, theirs)]
        np.testing.assert_array_equal(*flags)


@pytest.mark.parametrize("full_cells", [compaction.FULL_CELLS, 192], ids=["usual", "soon full"])
@pytest.mark.parametrize("store", ["embedded", "given"], indirect=True)
@settings(max_examples=40)
@given(steps=st.lists(write | write | upkeep, min_size=2, max_size=14), instants=st.lists(st.floats(0, 1), max_size=4))
async def test_the_past_stays_as_it_was_whenever_the_journal_is_merged(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    full_cells: int,
    steps: Sequence[tuple[object, ...]],
    instants: Sequence[float],
) -> None:
    monkeypatch.setattr(compaction, "FULL_CELLS", full_cells)
    name, clock = f"c{next(_number)}", FakeClock(START)
    oracle = MemoryStore(clock)
    for one in (store, oracle):
        await open_community(one, name)
    stamps = [datetime.now(UTC)]
    for number, step in enumerate(steps):
        match step:
            case "write", list(stretches), bool(is_imported):
                delay = timedelta(hours=1) if is_imported else None
                batch = readings_of(stretches)
                async with store.community(name) as tx:
                    receipt = await tx.readings.record(batch, key=str(number), assumed_delay=delay)
                clock.advance(seconds=(receipt.received_at - clock.now()).total_seconds())
                async with oracle.community(name) as tx:
                    await tx.readings.record(batch, key=str(number), assumed_delay=delay)
                stamps.append(receipt.received_at)
            case str(what), float(share):
                before = stamps[0] + share * (datetime.now(UTC) - stamps[0])
                with suppress(_Interrupted):
                    async with store.community(name) as tx:
                        assert await tx.keeping.begin_upkeep()
                        if what == "forget keys":
                            await tx.keeping.forget_keys(before)
                        else:
                            await tx.keeping.compact(before)
                        if what == "compact and fail":
                            raise _Interrupted
    between = [stamps[0] + share * (stamps[-1] - stamps[0]) for share in instants]
    in_history = [START + share * timedelta(days=DAYS) for share in instants]
    for _ in range(2):
        for as_of in [None, *stamps, *between, *in_history]:
            await assert_same(store, oracle, name, as_of)
        await compact_all(store, name)


@pytest.fixture(params=["embedded", "given"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    return request.getfixturevalue(f"{request.param}_server")


async def live_day(store: Store, homes_a_batch: int, homes: int = 40) -> None:
    """A day as it comes in: each quarter-hour in batches of so many homes."""
    members = [f"home_{home}" for home in range(homes)]
    async with store.platform() as tx:
        await tx.communities.create(community())
    async with store.community("solar_valley") as tx:
        await tx.members.put_members([Member(member) for member in members])
    for slot in range(96):
        at = START + slot * timedelta(minutes=15)
        for first in range(0, homes, homes_a_batch):
            batch = [series("load_kw", [1.5], member=one, start=at) for one in members[first : first + homes_a_batch]]
            async with store.community("solar_valley") as tx:
                await tx.readings.record(batch, key=f"{slot} {first}")


async def test_a_day_of_small_batches_becomes_one_entry(server: DatabaseServer) -> None:
    async with server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        await live_day(store, homes_a_batch=20)

        async def journal() -> tuple[int, int]:
            async with await psycopg.AsyncConnection.connect(address) as connection:
                cursor = await connection.execute("select count(*), sum(octet_length(undo)) from journal")
                row = await cursor.fetchone()
                assert row is not None
                return int(row[0]), int(row[1])

        entries, size = await journal()
        assert entries == 192
        assert await compact_all(store, "solar_valley") == 191
        merged_entries, merged_size = await journal()
        assert merged_entries == 1
        assert merged_size < size / 5


async def test_a_forgotten_key_is_taken_for_a_new_one_and_stamps_still_grow(store: Store) -> None:
    await open_community(store, "solar_valley")

    async def tell(key: str) -> tuple[bool, int, datetime]:
        async with store.community("solar_valley") as tx:
            receipt = await tx.readings.record([series("load_kw", [1.0], member="h1")], key=key)
        return receipt.replayed, receipt.duplicate, receipt.received_at

    _, _, first = await tell("a")
    *_, second = await tell("b")
    async with store.community("solar_valley") as tx:
        assert await tx.keeping.forget_keys(FAR) == 1  # the newest stays
    assert (await tell("b"))[0]
    replayed, duplicate, third = await tell("a")
    assert (replayed, duplicate) == (False, 1)
    assert first < second < third


async def test_of_decisions_kept_no_longer_the_newest_stays(store: Store) -> None:
    await open_community(store, "solar_valley")
    made = [START + timedelta(days=day) for day in range(4)]
    async with store.community("solar_valley") as tx:
        for at in made:
            for kind in ("applied_schedule", "dispatch"):
                await tx.results.add(StoredResult(new_result_id(at), kind, at, {}))
        assert await tx.keeping.forget_superseded("applied_schedule", made[2]) == 2
        assert await tx.keeping.forget_superseded("applied_schedule", FAR) == 1
        decisions = await tx.results.page(kinds=("applied_schedule",), before=None, limit=10)
        assert [one.created_at for one in decisions] == made[3:]
        assert len(await tx.results.page(kinds=("dispatch",), before=None, limit=10)) == 4


async def test_upkeep_forgets_decisions_with_the_journal(store: Store) -> None:
    await open_community(store, "solar_valley")
    async with store.community("solar_valley") as tx:
        for day in range(4):
            at = START + timedelta(days=day)
            await tx.results.add(StoredResult(new_result_id(at), "applied_schedule", at, {}))
    for retention, left in ((Retention(), 4), (Retention(journal_days=2), 2)):
        async with store.community("solar_valley") as tx:
            await tx.keeping.retain(retention)
        await KeepingService(store, FakeClock(START + timedelta(days=4))).keep_up("solar_valley")
        async with store.community("solar_valley") as tx:
            assert len(await tx.results.page(kinds=("applied_schedule",), before=None, limit=10)) == left


async def test_only_one_does_the_upkeep_of_a_community(store: Store) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("its transactions run one after the other")
    await open_community(store, "solar_valley")
    async with store.community("solar_valley") as tx, store.community("solar_valley") as other:
        assert await tx.keeping.begin_upkeep()
        assert not await other.keeping.begin_upkeep()
    async with store.community("solar_valley") as tx:
        assert await tx.keeping.begin_upkeep()

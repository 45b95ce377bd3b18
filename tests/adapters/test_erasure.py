"""A member who is erased is nowhere any more; sums of five homes or more stay what they were."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.test_keeping import FAR, compact_all
from tests.builders import MONDAY, community, series, state_update
from tests.databases import DatabaseServer

from digital_twin.adapters.postgres import personal_data
from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.journal_table import Group, JournalTable
from digital_twin.adapters.postgres.merged_journal import MergedUndo
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Asset, Member, Photovoltaics
from digital_twin.domain.errors import Conflict, InvalidInput, NotFound
from digital_twin.domain.readings import Receipt, SeriesKey, SeriesValues
from digital_twin.domain.retention import Retention
from digital_twin.services.ports import Erased, Store, StoredResult
from digital_twin.testing import MemoryStore

NAN = float("nan")
HOMES = [f"home_{number}" for number in range(1, 7)]
DAY = timedelta(days=1)
MARKS = (7.3125, 9.40625, 11.71875)
"""Values of the member, exact in single precision, that nobody else has and no sum is made of by chance."""


async def open_community(store: Store) -> None:
    async with store.platform() as tx:
        await tx.communities.create(community())
    async with store.community("solar_valley") as tx:
        await tx.members.put_members([Member(home) for home in HOMES])
        await tx.members.put_assets([Asset("roof", Photovoltaics(9), "home_1"), Asset("shed", Photovoltaics(4))])


async def record(store: Store, *readings: SeriesValues, key: str) -> Receipt:
    async with store.community("solar_valley") as tx:
        return await tx.readings.record(readings, key=key)


async def erase(store: Store, member_id: str) -> Erased:
    async with store.community("solar_valley") as tx:
        erased = await tx.keeping.erase_member(member_id)
    purging = True
    while purging:
        async with store.community("solar_valley") as tx:
            purging = await tx.keeping.purge_journal()
    return erased


async def load_sum(
    store: Store, start: datetime = MONDAY, hours: float = 1, as_of: datetime | None = None
) -> tuple[list[float], list[int], list[int]]:
    async with store.community("solar_valley") as tx:
        found = await tx.readings.community_sum("load_kw", start, start + timedelta(hours=hours), as_of=as_of)
    assert found is not None
    return found.total.tolist(), found.reporting.tolist(), found.members.tolist()


async def six_homes(store: Store) -> Receipt:
    """A quarter-hour with six homes, one with five, one with four, and one without the first home."""
    await open_community(store)
    values = {home: [10.0 * number, 1.0, 1.0, 1.0] for number, home in enumerate(HOMES, start=1)}
    values["home_1"][3] = values["home_6"][1] = values["home_6"][2] = values["home_5"][2] = NAN
    return await record(store, *(series("load_kw", values[home], member=home) for home in HOMES), key="all")


async def test_sums_of_five_homes_or_more_outlive_a_member(store: Store) -> None:
    before = await six_homes(store)
    assert await load_sum(store) == ([210, 5, 4, 5], [6, 5, 4, 5], [6] * 4)
    erased = await erase(store, "home_1")
    assert (erased.series, erased.days, erased.assets) == (1, 1, 1)
    assert await load_sum(store) == ([210, 5, 3, 5], [6, 5, 3, 5], [6, 6, 5, 5])
    # who asks as of an instant before the erasure, and before later readings, is told what is left of it
    await record(store, series("load_kw", [1.0], member="home_2", start=MONDAY + DAY), key="later")
    assert await load_sum(store, as_of=before.received_at) == ([200, 4, 3, 5], [5, 4, 3, 5], [5] * 4)


async def test_late_readings_of_others_leave_kept_sums_as_they_are(store: Store) -> None:
    await six_homes(store)
    await erase(store, "home_1")
    await record(store, series("load_kw", [500.0] * 4, member="home_2"), key="late")
    assert await load_sum(store) == ([210, 5, 502, 504], [6, 5, 3, 5], [6, 6, 5, 5])
    await erase(store, "home_2")
    assert await load_sum(store) == ([210, 5, 2, 504], [6, 5, 2, 5], [6, 6, 4, 5])


async def test_kept_sums_are_told_when_nobody_is_left(store: Store) -> None:
    await six_homes(store)
    for home in HOMES:
        await erase(store, home)
    total, reporting, members = await load_sum(store)
    np.testing.assert_array_equal(total, [210, 5, NAN, 5])
    assert (reporting, members) == ([6, 5, 0, 5], [6, 6, 0, 5])


written = st.tuples(
    st.just("write"), st.sampled_from(HOMES), st.integers(0, 1), st.integers(0, 6),
    st.lists(st.sampled_from([NAN, 0.5, 1.0, 4.0]), min_size=1, max_size=4),
)  # fmt: skip
erased = st.tuples(st.just("erase"), st.sampled_from(HOMES))
old = st.tuples(st.just("remove"), st.integers(1, 2))
asked = st.tuples(st.just("ask"))
_number = count()


@pytest.mark.parametrize("store", ["embedded", "given"], indirect=True)
@settings(max_examples=40)
@given(steps=st.lists(written | written | written | erased | old | asked, min_size=6, max_size=24))
async def test_sums_after_any_erasures_are_those_of_the_oracle(store: Store, steps: list[tuple[object, ...]]) -> None:
    name, oracle, everybody = f"c{next(_number)}", MemoryStore(), set(HOMES)
    # the first interval has one home, the next two, until all six report
    values = {home: [NAN] * place + [1.0] * (10 - place) for place, home in enumerate(HOMES)}
    full = [series("load_kw", values[home], member=home, start=MONDAY + day * DAY) for home in HOMES for day in (0, 1)]
    for one in (store, oracle):
        async with one.platform() as platform:
            await platform.communities.create(community(name))
        async with one.community(name) as tx:
            await tx.members.put_members([Member(home) for home in HOMES])
            await tx.readings.record(full, key="full")
    for number, step in enumerate([*steps, ("ask",)]):
        async with store.community(name) as tx, oracle.community(name) as other:
            match step:
                case "write", str(home), int(day), int(slot), list(values) if home in everybody:
                    start = MONDAY + day * DAY + slot * timedelta(minutes=15)
                    for one in (tx, other):
                        await one.readings.record(
                            [series("load_kw", values, member=home, start=start)], key=str(number)
                        )
                case "erase", str(home) if home in everybody:
                    everybody.discard(home)
                    assert await tx.keeping.erase_member(home) == await other.keeping.erase_member(home)
                case "remove", int(days):
                    for one in (tx, other):
                        while await one.keeping.remove_day(MONDAY + days * DAY):
                            pass
                case _:
                    ours, theirs = [
                        await one.readings.community_sum("load_kw", MONDAY, MONDAY + 2 * DAY) for one in (tx, other)
                    ]
                    assert (ours is None) == (theirs is None)
                    if ours is not None and theirs is not None:
                        np.testing.assert_allclose(ours.total, theirs.total, rtol=1e-12)  # added up in another order
                        np.testing.assert_array_equal(ours.reporting, theirs.reporting)
                        np.testing.assert_array_equal(ours.members, theirs.members)


async def test_an_erased_member_is_not_known_any_more(store: Store) -> None:
    await six_homes(store)
    await record(store, series("pv_kw", [3.0], asset="roof"), series("pv_kw", [2.0], asset="shed"), key="roofs")
    async with store.community("solar_valley") as tx:
        await tx.results.add(StoredResult("00000000-0000-0000-0000-000000000001", "schedule", MONDAY, {"of": "home_1"}))
        await tx.results.add(
            StoredResult("00000000-0000-0000-0000-000000000002", "schedule", MONDAY, {"of": "home_10"})
        )
        await tx.events.add("alert", {"text": "home_1 is silent"})
    assert (await erase(store, "home_1")).documents == 2
    async with store.community("solar_valley") as tx:
        keys = [SeriesKey("load_kw", "home_1"), SeriesKey("pv_kw", asset_id="roof"), SeriesKey("load_kw", "home_2")]
        found = await tx.readings.read(keys, MONDAY, MONDAY + DAY)
        assert [one.key.member_id for one in found] == ["home_2"]
        assert "home_1" not in {one.series.key.member_id for one in await tx.readings.series()}
        assert [one.member_id for one in await tx.members.members()] == HOMES[1:]
        assert [one.asset_id for one in await tx.members.assets()] == ["shed"]
        left = await tx.results.page(kinds=["schedule"], before=None, limit=10)
        assert [one.document for one in left] == [{"of": "home_10"}]
    with pytest.raises(InvalidInput, match="home_1"):
        await record(store, series("load_kw", [1.0], member="home_1"), key="late")
    with pytest.raises(NotFound, match="home_1"):
        await erase(store, "home_1")


async def test_one_who_is_added_again_under_the_same_id_starts_with_nothing(store: Store) -> None:
    first = await six_homes(store)
    await erase(store, "home_1")
    async with store.community("solar_valley") as tx:
        await tx.members.put_members([Member("home_1")])
    await record(store, series("load_kw", [NAN, 2.0], member="home_1"), key="again")
    async with store.community("solar_valley") as tx:
        [now] = await tx.readings.read([SeriesKey("load_kw", "home_1")], MONDAY, MONDAY + timedelta(hours=1))
        [then] = await tx.readings.read(
            [SeriesKey("load_kw", "home_1")], MONDAY, MONDAY + timedelta(hours=1), as_of=first.received_at
        )
    np.testing.assert_array_equal(now.values, [NAN, 2, NAN, NAN])
    assert np.isnan(then.values).all()


async def test_old_days_go_but_for_their_sums(store: Store) -> None:
    first = await six_homes(store)
    await record(store, *(series("load_kw", [1.0] * 96, member=home, start=MONDAY + DAY) for home in HOMES), key="next")
    async with store.community("solar_valley") as tx:
        await tx.keeping.keep_spans()
        assert await tx.keeping.remove_day(MONDAY + DAY)
        assert not await tx.keeping.remove_day(MONDAY + DAY)
        while await tx.keeping.forget_days(MONDAY + DAY):
            pass
    total, reporting, members = await load_sum(store)
    np.testing.assert_array_equal(total, [210, 5, NAN, 5])
    assert (reporting, members) == ([6, 5, 0, 5], [6, 6, 6, 6])
    assert await load_sum(store, start=MONDAY + DAY) == ([6] * 4, [6] * 4, [6] * 4)
    async with store.community("solar_valley") as tx:
        assert {one.first_day for one in await tx.readings.series()} == {MONDAY + DAY}
        for as_of in (None, first.received_at):
            [load] = await tx.readings.read([SeriesKey("load_kw", "home_2")], MONDAY, MONDAY + DAY, as_of=as_of)
            assert np.isnan(load.values).all()


async def test_the_past_before_its_horizon_is_refused_and_after_it_exact(store: Store) -> None:
    await open_community(store)
    key = SeriesKey("load_kw", "home_1")
    first = await record(store, series("load_kw", [1.0, 2.0], member="home_1"), key="a")
    second = await record(store, series("load_kw", [5.0, NAN, 3.0], member="home_1"), key="b")
    await record(store, series("load_kw", [NAN, 6.0], member="home_1"), key="c")
    await compact_all(store, "solar_valley", FAR)
    async with store.community("solar_valley") as tx:
        while await tx.keeping.forget_past(second.received_at):
            pass
        [then] = await tx.readings.read([key], MONDAY, MONDAY + timedelta(hours=1), as_of=second.received_at)
        np.testing.assert_array_equal(then.values, [5, 2, 3, NAN])
        for ask in (tx.readings.read([key], MONDAY, MONDAY + DAY, as_of=first.received_at),
                    tx.readings.community_sum("load_kw", MONDAY, MONDAY + DAY, as_of=first.received_at)):  # fmt: skip
            with pytest.raises(InvalidInput, match="is kept from"):
                await ask


async def test_retention_is_kept_as_it_was_set(store: Store) -> None:
    await open_community(store)
    for retention in (Retention(400, None), Retention(None, 90), Retention()):
        async with store.community("solar_valley") as tx:
            await tx.keeping.retain(retention)
        async with store.community("solar_valley") as tx:
            assert await tx.keeping.retention() == retention


@pytest.fixture(params=["embedded", "given"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    return request.getfixturevalue(f"{request.param}_server")


async def dump(address: str) -> dict[str, str]:
    """Every table as text, bytes in hexadecimal digits."""
    async with await psycopg.AsyncConnection.connect(address) as connection:
        names = await (
            await connection.execute("select tablename from pg_tables where schemaname = 'public'")
        ).fetchall()
        texts: dict[str, str] = {}
        for (name,) in names:
            cursor = await connection.execute(f'select t::text from "{name}" t')  # type: ignore[arg-type]
            texts[name] = "\n".join(row[0] for row in await cursor.fetchall())
    return texts


def tables_with(texts: dict[str, str], marks: list[str]) -> set[str]:
    forms = [form for mark in marks for form in (mark, mark.encode().hex())]
    return {name for name, text in texts.items() if any(form in text for form in forms)}


async def journal_told(address: str) -> tuple[set[int], set[float]]:
    """The series that the journal tells of, and the values before that it keeps."""
    ids: set[int] = set()
    values: set[float] = set()
    async with await psycopg.AsyncConnection.connect(address) as connection:
        cursor = await connection.execute("select distinct community, month, resolution_minutes, batch from journal")
        for one, month, resolution, batch in await cursor.fetchall():
            for entry in await JournalTable(connection, one).entries(Group(month, resolution), [batch]):
                told = entry.told()
                ids |= set(told.series.tolist())
                values |= set(
                    (told.corrections["before"] if isinstance(told, MergedUndo) else told.before).ravel().tolist()
                )
    return ids, values


async def filled(store: PostgresStore, address: str) -> set[int]:
    """Something of the member in every table that may hold some; the ids of their series."""
    await open_community(store)
    for number, mark in enumerate((1.0, *MARKS)):
        others = [series("load_kw", [1.0] * 192, member=home) for home in HOMES[1:]]
        own = [series("load_kw", [mark] * 192, member="home_1"), series("pv_kw", [mark], asset="roof")]
        await record(store, *own, *others, key=str(number))
        if number == 1:
            await compact_all(store, "solar_valley")
    await load_sum(store, hours=48)
    async with store.community("solar_valley") as tx:
        for version in (1, 2):
            update = state_update(version, MONDAY, 96, value=MARKS[0], midnights=1)
            of_few = replace(update.track, reporting=np.full(96, 4))
            await tx.states.save(replace(update, track=of_few))
        noted = await tx.states.due()
        assert noted is not None
        await tx.states.settle(noted, FAR)
        await tx.replays.claim("schedules", "key", b"")
    async with await psycopg.AsyncConnection.connect(address) as connection:
        for statement in (
            "insert into account (username, email, role, password_hash) values ('ann', 'ann@home', 'viewer', '')",
            "insert into membership select c.id, a.id, 'viewer', 'home_1' from community c, account a",
            "insert into invite values ('x', 'viewer', 'solar_valley', 'home_1', 1, now())",
            "insert into result select gen_random_uuid(), id, 'tariff', now(), '[\"home_1\"]' from community",
            "insert into event (community, kind, document) select id, 'alert', '[\"of home_1\"]' from community",
            "insert into dead_letter (community, received_at, topic, payload, payload_bytes, reason) "
            "select id, now(), 'meters/home_1', '7.3125', 6, 'no unit' from community",
            'update idempotency set community = (select id from community), body = \'{"member": "home_1"}\'',
            "insert into run (run_id, community, kind, queue, state, request, created_at) "
            "select gen_random_uuid(), id, 'import', 'imports', 'succeeded', '{\"member_id\": \"home_1\"}', now() "
            "from community",
        ):
            await connection.execute(statement)
        cursor = await connection.execute("select id from series where member_id = 'home_1' or asset_id = 'roof'")
        return {row[0] for row in await cursor.fetchall()}


async def test_nothing_of_an_erased_member_is_left_in_any_table(server: DatabaseServer) -> None:
    marks = ["home_1", *(str(mark) for mark in MARKS)]
    async with server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        own = await filled(store, address)
        assert tables_with(await dump(address), marks) >= {
            "asset", "dead_letter", "event", "idempotency", "invite", "member", "membership", "reading_closed",
            "result", "run", "series", "state_day",
        }  # fmt: skip
        ids, values = await journal_told(address)
        assert ids > own
        assert values >= set(MARKS[:-1])
        total, _, _ = await load_sum(store, hours=48)
        await erase(store, "home_1")
        assert not tables_with(await dump(address), marks)
        async with store.community("solar_valley") as tx:
            due = await tx.states.due()
        assert due is not None
        assert due.changed_until == MONDAY + DAY  # up to where the state had come
        ids, values = await journal_told(address)
        assert ids
        assert not ids & own
        assert not values & set(MARKS)
        assert (await load_sum(store, hours=48))[0] == total


async def test_nobody_is_erased_while_a_run_may_hold_their_data(server: DatabaseServer) -> None:
    async with server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        await open_community(store)
        async with await psycopg.AsyncConnection.connect(address) as connection:
            await connection.execute(
                "insert into run (run_id, community, kind, queue, request, created_at) "
                "select gen_random_uuid(), id, 'import', 'imports', '{}', now() from community"
            )
        with pytest.raises(Conflict, match="Run"):
            await erase(store, "home_1")


async def test_every_table_is_known_to_hold_personal_data_or_none(server: DatabaseServer) -> None:
    async with server.database() as address, await psycopg.AsyncConnection.connect(address) as connection:
        cursor = await connection.execute("select tablename from pg_tables where schemaname = 'public'")
        tables = {row[0] for row in await cursor.fetchall()}
        cursor = await connection.execute(
            "select distinct table_name from information_schema.columns join pg_tables on tablename = table_name "
            "where table_schema = 'public' and column_name = 'member_id'"
        )
        name_members = {row[0] for row in await cursor.fetchall()}
    groups = [
        personal_data.ERASED_WITH_MEMBER, personal_data.ERASED_WITH_SERIES, personal_data.ERASED_FOR_ALL,
        personal_data.LINKS,
        frozenset(table for table, _ in personal_data.DOCUMENTS), personal_data.REWRITTEN,
        personal_data.UNFINISHED_ONLY, personal_data.HOLDS_NONE,
    ]  # fmt: skip
    assert sum(map(len, groups)) == len(frozenset().union(*groups))
    assert frozenset().union(*groups) == tables
    assert name_members == personal_data.ERASED_WITH_MEMBER | personal_data.LINKS

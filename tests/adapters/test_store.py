"""What every store keeps its word on: communities, members, results, accounts, keys."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from tests.builders import MONDAY, community, series

from digital_twin.domain.assets import Asset, Battery, EvCharger, Fuse, HeatPump, Member, Photovoltaics
from digital_twin.domain.errors import Conflict, NotFound
from digital_twin.domain.sharing import Sharing, SharingPremium, SharingRule
from digital_twin.domain.tariff import (
    BillingPeriod,
    CapacityCharge,
    DynamicPrice,
    Tariff,
    TimeOfUsePrice,
    TimeWindow,
)
from digital_twin.services.ports import ApiKey, Invite, Membership, Replay, Session, Store, StoredResult

RICH = community(
    name="Sonnental",
    timezone="Europe/Vienna",
    currency="EUR",
    latitude=48.2,
    longitude=16.4,
    tariff=Tariff(
        TimeOfUsePrice(0.30, (TimeWindow(0.2, 22, 6, frozenset({0, 6})), TimeWindow(0.25, 12, 14))),
        DynamicPrice(0.01, 1.2),
        CapacityCharge(3.5, BillingPeriod.YEAR, 41.5),
    ),
    emission_factor_kg_per_kwh=0.2,
    sharing=Sharing(SharingRule.HYBRID, 60, 0.12, 0.03, SharingPremium(70, 110, 10, 5)),
)


async def test_a_community_comes_back_as_it_was_created(store: Store) -> None:
    async with store.platform() as tx:
        created = await tx.communities.create(RICH)
    async with store.community("solar_valley") as tx:
        found = await tx.communities.get("solar_valley")
    assert found.community == RICH
    assert found.version == created.version == 1
    assert found.created_at.tzinfo is not None


async def test_a_community_id_is_taken_once(store: Store) -> None:
    async with store.platform() as tx:
        await tx.communities.create(community())
    with pytest.raises(Conflict, match="exists already"):
        async with store.platform() as tx:
            await tx.communities.create(community())


async def test_a_change_needs_the_version_it_was_made_from(store: Store) -> None:
    async with store.platform() as tx:
        await tx.communities.create(community())
    async with store.community("solar_valley") as tx:
        changed = await tx.communities.replace(community(name="new"), expected_version=1)
    assert changed.version == 2
    with pytest.raises(Conflict, match="version 2"):
        async with store.community("solar_valley") as tx:
            await tx.communities.replace(community(name="late"), expected_version=1)
    async with store.community("solar_valley") as tx:
        await tx.communities.replace(community(name="whatever"), expected_version=None)
        assert (await tx.communities.get("solar_valley")).version == 3


async def test_nothing_of_a_failed_transaction_remains(store: Store) -> None:
    async with store.platform() as tx:
        await tx.communities.create(community())

    async def fail_at_the_end() -> None:
        async with store.community("solar_valley") as tx:
            await tx.members.put_members([Member("home_1")])
            await tx.readings.record([series("load_kw", [1.0], member="home_1")], key="a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_at_the_end()
    async with store.community("solar_valley") as tx:
        assert await tx.members.members() == []
        assert await tx.readings.series() == []


async def test_a_deleted_community_is_gone_with_everything_in_it(store: Store) -> None:
    async with store.platform() as tx:
        await tx.communities.create(community())
        account = await tx.accounts.create(
            username="ada", email="ada@example.org", password_hash="x", role="viewer", requested_role=None
        )
        await tx.accounts.put_membership(Membership(account.account_id, "ada", "solar_valley", "viewer"))
    async with store.community("solar_valley") as tx:
        await tx.members.put_members([Member("home_1")])
        await tx.readings.record([series("load_kw", [1.0], member="home_1")], key="a")
    with pytest.raises(Conflict):
        async with store.platform() as tx:
            await tx.communities.delete("solar_valley", expected_version=9)
    async with store.platform() as tx:
        await tx.communities.delete("solar_valley", expected_version=1)
    with pytest.raises(NotFound):
        async with store.community("solar_valley"):
            pass
    async with store.platform() as tx:
        assert await tx.accounts.memberships(account_id=account.account_id) == []
        await tx.communities.create(community())
    async with store.community("solar_valley") as tx:
        assert await tx.members.members() == []
        assert await tx.readings.series() == []


async def test_a_transaction_in_one_community_does_not_see_another(store: Store) -> None:
    async with store.platform() as tx:
        for name in ("one", "two"):
            await tx.communities.create(community(name))
    async with store.community("one") as tx:
        await tx.members.put_members([Member("home_1")])
        await tx.readings.record([series("load_kw", [1.0], member="home_1")], key="a")
        with pytest.raises(NotFound):
            await tx.communities.get("two")
        assert [
            one.community.community_id for one in await tx.communities.page(account_id=None, after=None, limit=9)
        ] == ["one"]
    async with store.community("two") as tx:
        assert await tx.members.members() == []
        assert await tx.readings.series() == []
        # the same key in another community is another key
        assert not (await tx.readings.record([series("pv_kw", [1.0])], key="a")).replayed
    async with store.platform() as tx:
        assert await tx.members.members() == []
        assert await tx.readings.series() == []


async def test_communities_come_in_pages_by_id_and_by_membership(store: Store) -> None:
    async with store.platform() as tx:
        ada = await tx.accounts.create(
            username="ada", email="ada@example.org", password_hash="x", role="viewer", requested_role=None
        )
        for name in ("b", "a", "B", "c"):
            await tx.communities.create(community(name))
        now = datetime.now(UTC)
        for name, until in (("c", None), ("a", now - timedelta(minutes=1)), ("B", now + timedelta(hours=1))):
            await tx.accounts.put_membership(Membership(ada.account_id, "ada", name, "viewer", valid_until=until))
    async with store.platform() as tx:
        first = await tx.communities.page(account_id=None, after=None, limit=2)
        rest = await tx.communities.page(account_id=None, after="a", limit=9)
        mine = await tx.communities.page(account_id=ada.account_id, after=None, limit=9)
    assert [one.community.community_id for one in first] == ["B", "a"]
    assert [one.community.community_id for one in rest] == ["b", "c"]
    assert [one.community.community_id for one in mine] == ["B", "c"]
    async with store.platform() as tx:
        some = await tx.communities.page(account_id=None, after="B", limit=1, among={"B", "b", "c", "nowhere"})
        both = await tx.communities.page(account_id=ada.account_id, after=None, limit=9, among={"b", "c"})
        none = await tx.communities.page(account_id=None, after=None, limit=9, among=set())
    assert [one.community.community_id for one in (*some, *both, *none)] == ["b", "c"]


async def test_members_and_assets_come_back_as_they_were_put(store: Store) -> None:
    members = [Member("h2", "Haus", MONDAY, MONDAY + timedelta(days=9), 0.25), Member("h1")]
    assets = [
        Asset("a5", Fuse(24), None),
        Asset("a1", Photovoltaics(9.5, 25, 190), "h1"),
        Asset("a2", Battery(10, 5, 0.96, 0.94), "h2"),
        Asset("a3", EvCharger(11), "h2"),
        Asset("a4", HeatPump(3, 8, 0.2), "h1"),
    ]
    async with store.platform() as tx:
        await tx.communities.create(community())
    async with store.community("solar_valley") as tx:
        assert await tx.members.put_members(members) == 2
        assert await tx.members.put_members([Member("h1", "renamed"), Member("h3")]) == 1
        assert await tx.members.put_assets(assets) == 5
        assert await tx.members.put_assets(assets[:2]) == 0
    async with store.community("solar_valley") as tx:
        assert await tx.members.members() == [Member("h1", "renamed"), members[0], Member("h3")]
        assert await tx.members.assets() == sorted(assets, key=lambda one: one.asset_id)
    with pytest.raises(NotFound, match="names a member"):
        async with store.community("solar_valley") as tx:
            await tx.members.put_assets([Asset("a9", Fuse(1), "nobody")])


async def test_results_are_paged_newest_first(store: Store) -> None:
    ids = sorted(str(uuid.uuid4()) for _ in range(4))
    async with store.platform() as tx:
        await tx.communities.create(community())
    async with store.community("solar_valley") as tx:
        for number, result_id in enumerate(ids):
            kind = "schedule" if number % 2 else "forecast"
            await tx.results.add(
                StoredResult(result_id, kind, MONDAY, {"number": number, "nested": {"a": [1.5, None]}})
            )
    async with store.community("solar_valley") as tx:
        newest = await tx.results.page(kinds=("forecast", "schedule"), before=None, limit=3)
        older = await tx.results.page(kinds=("forecast", "schedule"), before=newest[-1].result_id, limit=3)
        schedules = await tx.results.page(kinds=("schedule",), before=None, limit=9)
        one = await tx.results.get(ids[2], ("forecast",))
        with pytest.raises(NotFound):
            await tx.results.get(ids[2], ("schedule",))
    assert [found.result_id for found in newest + older] == ids[::-1]
    assert [found.document["number"] for found in schedules] == [3, 1]
    assert one == StoredResult(ids[2], "forecast", MONDAY, {"number": 2, "nested": {"a": [1.5, None]}})


async def test_usernames_and_addresses_are_unique_whatever_their_case(store: Store) -> None:
    async with store.platform() as tx:
        ada = await tx.accounts.create(
            username="Ada", email="ada@example.org", password_hash="x", role="admin", requested_role=None
        )
        assert await tx.accounts.by_username("aDA") == ada
        assert await tx.accounts.by_id(ada.account_id) == ada
        assert await tx.accounts.by_username("bob") is None
    for username, email in (("ADA", "other@example.org"), ("other", "ADA@example.org")):
        with pytest.raises(Conflict, match="taken"):
            async with store.platform() as tx:
                await tx.accounts.create(
                    username=username, email=email, password_hash="x", role="viewer", requested_role=None
                )


async def test_the_last_administrator_stays(store: Store) -> None:
    async with store.platform() as tx:
        ids = [
            (
                await tx.accounts.create(
                    username=name, email=f"{name}@example.org", password_hash="x", role="admin", requested_role=None
                )
            ).account_id
            for name in ("ada", "bob")
        ]
    async with store.platform() as tx:
        changed = await tx.accounts.update(ids[0], role="viewer", password_hash="y")
        assert (changed.role, changed.password_hash, changed.active) == ("viewer", "y", True)
        assert await tx.accounts.count_admins() == 1
    for change in ({"role": "operator"}, {"active": False}):
        with pytest.raises(Conflict, match="last administrator"):
            async with store.platform() as tx:
                await tx.accounts.update(ids[1], **change)
    async with store.platform() as tx:
        assert await tx.accounts.count_admins() == 1
        assert [one.account_id for one in await tx.accounts.page(after=ids[0], limit=5)] == [ids[1]]
        with pytest.raises(NotFound):
            await tx.accounts.update(10**9, active=False)


async def test_memberships_are_listed_by_account_and_by_community(store: Store) -> None:
    async with store.platform() as tx:
        ada, bob = [
            await tx.accounts.create(
                username=name, email=f"{name}@example.org", password_hash="x", role="viewer", requested_role=None
            )
            for name in ("ada", "bob")
        ]
        for name in ("one", "two"):
            await tx.communities.create(community(name))
        both = [Membership(one.account_id, one.username, "one", "operator") for one in (ada, bob)]
        for membership in both:
            await tx.accounts.put_membership(membership)
        await tx.accounts.put_membership(Membership(ada.account_id, "ada", "two", "viewer", "home_1"))
        assert await tx.accounts.memberships(community_id="one") == both
        assert [one.community_id for one in await tx.accounts.memberships(account_id=ada.account_id)] == ["one", "two"]
        await tx.accounts.remove_membership(ada.account_id, "one")
        assert await tx.accounts.memberships(account_id=ada.account_id, community_id="one") == []
        with pytest.raises(NotFound):
            await tx.accounts.remove_membership(ada.account_id, "one")
        with pytest.raises(NotFound, match="community"):
            await tx.accounts.put_membership(Membership(ada.account_id, "ada", "three", "viewer"))
    with pytest.raises(NotFound, match="account"):
        async with store.platform() as tx:
            await tx.accounts.put_membership(Membership(10**9, "nobody", "one", "viewer"))


async def test_a_session_is_rotated_and_revoked(store: Store) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    async with store.platform() as tx:
        ada = await tx.accounts.create(
            username="ada", email="ada@example.org", password_hash="x", role="viewer", requested_role=None
        )
        later = now + timedelta(days=1)
        for number, expires in enumerate((later, now - timedelta(hours=1), later)):
            created = now + timedelta(seconds=number)
            await tx.accounts.add_session(
                Session(f"s{number}", ada.account_id, created, expires, created, b"first", None, None, False)
            )
    async with store.platform() as tx:
        await tx.accounts.rotate_session("s0", token_hash=b"second")
        rotated = await tx.accounts.session("s0", lock=True)
        assert rotated is not None
        assert (rotated.token_hash, rotated.previous_hash) == (b"second", b"first")
        assert rotated.rotated_at is not None
        assert await tx.accounts.session_with_account("s0") == (rotated, ada)
        assert await tx.accounts.session_with_account("nothing") is None
        assert [one.session_id for one in await tx.accounts.sessions(ada.account_id)] == ["s2", "s0"]
        assert await tx.accounts.revoke_sessions(ada.account_id, session_id="s2") == 1
        assert [one.session_id for one in await tx.accounts.sessions(ada.account_id)] == ["s0"]
        assert await tx.accounts.revoke_sessions(ada.account_id) == 2
        assert await tx.accounts.sessions(ada.account_id) == []


async def test_an_api_key_is_found_used_and_revoked(store: Store) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    async with store.platform() as tx:
        ada = await tx.accounts.create(
            username="ada", email="ada@example.org", password_hash="x", role="viewer", requested_role=None
        )
        key = ApiKey(
            "k1", ada.account_id, "meters", b"hash", frozenset({"readings:write", "readings:read"}),
            frozenset({"one"}), now, now + timedelta(days=1), None, False,
        )  # fmt: skip
        await tx.accounts.add_api_key(key)
        assert await tx.accounts.api_key("k1") == key
        assert await tx.accounts.api_key("k2") is None
        await tx.accounts.touch_api_key("k1")
        [used] = await tx.accounts.api_keys(ada.account_id)
        assert used.last_used_at is not None
        with pytest.raises(NotFound):
            await tx.accounts.revoke_api_key(ada.account_id + 1, "k1")
        await tx.accounts.revoke_api_key(ada.account_id, "k1")
        assert await tx.accounts.api_keys(ada.account_id) == []
        revoked = await tx.accounts.api_key("k1")
        assert revoked is not None
        assert revoked.revoked


async def test_an_invite_is_good_once_and_for_its_time(store: Store) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    good = Invite(b"good", "viewer", "one", "home_1", None, now + timedelta(hours=1))
    async with store.platform() as tx:
        await tx.accounts.add_invite(good)
        await tx.accounts.add_invite(Invite(b"old", "viewer", None, None, None, now - timedelta(hours=1)))
        assert await tx.accounts.take_invite(b"good") == good
        for token in (b"good", b"old", b"never"):
            with pytest.raises(NotFound, match="invite"):
                await tx.accounts.take_invite(token)


async def test_an_idempotency_key_belongs_to_the_first_who_claims_it(store: Store) -> None:
    answer = Replay(b"print", 201, {"ETag": '"1"'}, b"{}")
    async with store.platform() as tx:
        assert await tx.replays.claim("POST /communities", "key", b"print")
        assert not await tx.replays.claim("POST /communities", "key", b"other")
        assert await tx.replays.claim("POST /elsewhere", "key", b"other")
        in_flight = await tx.replays.find("POST /communities", "key")
        assert in_flight is not None
        assert in_flight.status == 0
        await tx.replays.finish("POST /communities", "key", answer)
        assert await tx.replays.find("POST /communities", "key") == answer
        await tx.replays.release("POST /elsewhere", "key")
        assert await tx.replays.find("POST /elsewhere", "key") is None


async def test_a_key_used_inside_a_community_goes_with_it(store: Store) -> None:
    async def claims() -> tuple[bool, bool]:
        async with store.platform() as tx:
            outside = await tx.replays.claim("POST /elsewhere", "key", b"print")
        async with store.community("solar_valley") as tx:
            return await tx.replays.claim("readings solar_valley", "key", b"print"), outside

    async with store.platform() as tx:
        await tx.communities.create(community())
    assert [await claims(), await claims()] == [(True, True), (False, False)]
    async with store.platform() as tx:
        await tx.communities.delete("solar_valley", expected_version=None)
        await tx.communities.create(community())
    assert await claims() == (True, False)


async def test_two_who_create_the_same_community_at_once_are_told_apart(store: Store) -> None:
    async def create() -> bool:
        try:
            async with store.platform() as tx:
                await tx.communities.create(community())
        except Conflict:
            return False
        return True

    assert sorted(await asyncio.gather(*(create() for _ in range(4)))) == [False, False, False, True]


async def test_a_store_says_whether_it_answers(store: Store) -> None:
    assert await store.is_ready()

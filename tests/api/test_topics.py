"""Topic mappings over HTTP: whose topics may be read, tried before they are kept, and what could not be read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.in_memory import InMemoryApi, in_memory_api

from digital_twin.domain.topics import TopicMapping, TopicTemplate, ValueMapping
from digital_twin.services.ports import DeadLetter, Ingester

EARLIER = (datetime.now(UTC) - timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)


def mapping(community: str, **given: Any) -> dict[str, Any]:
    return {
        "mapping_id": "meters",
        "topic": f"communities/{community}/homes/{{member_id}}/meter",
        "time": {"path": "$.time"},
        "values": [{"series": "load_kw", "path": "$.power", "unit": "W"}],
        **given,
    }


@pytest.fixture
def path(community: str) -> str:
    return f"/communities/{community}/topic-mappings"


def test_a_mapping_is_made_read_changed_and_deleted(operator: httpx.Client, community: str, path: str) -> None:
    made = operator.post(path, json=mapping(community))
    body = answered(made, 201)
    assert made.headers["location"] == f"{path}/meters"
    assert made.headers["etag"] == '"1"'
    assert body["values"][0] | {"samples": "last", "scale": 1.0} == body["values"][0]
    assert answered(operator.get(f"{path}/meters")) == body
    assert answered(operator.get(path)) == {"topic_mappings": [body], "unreadable": []}
    changed = operator.put(f"{path}/meters", json=mapping(community, resolution_minutes=5))
    assert answered(changed)["resolution_minutes"] == 5
    assert changed.headers["etag"] == '"2"'
    answered(operator.delete(f"{path}/meters"), 204)
    refused(operator.get(f"{path}/meters"), 404)


def test_a_change_of_another_version_than_was_seen_is_refused(
    operator: httpx.Client, community: str, path: str
) -> None:
    answered(operator.post(path, json=mapping(community)), 201)
    seen = {"If-Match": '"1"'}
    answered(operator.put(f"{path}/meters", json=mapping(community), headers=seen))
    refused(operator.put(f"{path}/meters", json=mapping(community), headers=seen), 412)
    refused(operator.delete(f"{path}/meters", headers=seen), 412)
    answered(operator.delete(f"{path}/meters", headers={"If-Match": '"2"'}), 204)


def test_an_id_is_taken_once_and_stays(operator: httpx.Client, community: str, path: str) -> None:
    answered(operator.post(path, json=mapping(community)), 201)
    refused(operator.post(path, json=mapping(community)), 409)
    refused(operator.put(f"{path}/meters", json=mapping(community, mapping_id="other")), 422, pointer="/mapping_id")


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"topic": "communities/x/#"}, "/topic"),
        ({"values": [{"series": "load_kw", "path": "$..power"}]}, "/values/0/path"),
        ({"values": [{"series": "load_kw", "unit": "V"}]}, "/values/0/unit"),
        ({"values": []}, "/values"),
        ({"resolution_minutes": 7}, "/resolution_minutes"),
        ({"time": {"path": "time"}}, "/time/path"),
        ({"no_such_field": 1}, "/no_such_field"),
    ],
)
def test_what_is_wrong_with_a_mapping_is_pointed_at(
    operator: httpx.Client, community: str, path: str, given: dict[str, Any], pointer: str
) -> None:
    refused(operator.post(path, json=mapping(community, **given)), 422, pointer=pointer)


# Whose topics


def test_topics_of_others_are_mapped_by_an_administrator_alone(
    api: Api, operator: httpx.Client, admin: httpx.Client, community: str, path: str
) -> None:
    for topic in (f"communities/{community}x/meter", "communities/+/meter", "homes/meter", "+/+/meter"):
        told = refused(operator.post(path, json=mapping(community, topic=topic)), 403)
        assert f"communities/{community}/" in told["detail"]
    key = api.key(admin, [community], "community:write")
    refused(key.post(path, json=mapping(community, topic="homes/meter")), 403)
    answered(admin.post(path, json=mapping(community, topic="homes/meter")), 201)


def test_an_operator_changes_what_is_read_of_a_topic_that_an_administrator_chose_but_not_the_topic(
    operator: httpx.Client, admin: httpx.Client, community: str, path: str
) -> None:
    answered(admin.post(path, json=mapping(community, topic="homes/meter")), 201)
    same = mapping(community, topic="homes/meter", resolution_minutes=5)
    assert answered(operator.put(f"{path}/meters", json=same))["resolution_minutes"] == 5
    refused(operator.put(f"{path}/meters", json=mapping(community, topic="homes/other")), 403)
    answered(operator.put(f"{path}/meters", json=mapping(community)))
    refused(operator.put(f"{path}/meters", json=same), 403)


def test_a_community_sees_its_own_mappings_alone(
    operator: httpx.Client, stranger: httpx.Client, api: Api, community: str, path: str
) -> None:
    answered(operator.post(path, json=mapping(community)), 201)
    there = api.community(stranger)
    assert answered(stranger.get(f"/communities/{there}/topic-mappings")) == {"topic_mappings": [], "unreadable": []}
    refused(stranger.get(f"{path}/meters"), 404)


# Trying


def tried(client: httpx.Client, path: str, wanted: dict[str, Any], payload: str, *, home: str = "home_1") -> Any:
    topic = wanted["topic"].replace("{member_id}", home)
    return answered(client.post(f"{path}/try", json={"mapping": wanted, "topic": topic, "payload": payload}))


def test_a_mapping_is_tried_on_a_message_and_nothing_is_stored(
    operator: httpx.Client, community: str, path: str
) -> None:
    answered(operator.post(f"/communities/{community}/members", json={"members": [{"member_id": "home_1"}]}), 201)
    answer = tried(operator, path, mapping(community), f'{{"time": "{EARLIER.isoformat()}", "power": 1500}}')
    assert answer["refused"] == []
    [reading] = answer["readings"]
    assert reading == {
        "series": "load_kw", "unit": "kW", "member_id": "home_1", "asset_id": None,
        "start": EARLIER.isoformat().replace("+00:00", "Z"), "resolution_minutes": 15, "value": 1.5,
        "quality": "measured", "waits": False,
    }  # fmt: skip
    assert answered(operator.get(f"/communities/{community}/series")) == {"series": []}
    assert answered(operator.get(path)) == {"topic_mappings": [], "unreadable": []}


def test_a_trial_says_what_would_be_refused_and_why(operator: httpx.Client, community: str, path: str) -> None:
    payload = f'{{"time": "{EARLIER.isoformat()}", "power": 1500}}'
    assert (
        "'home_9' is not in this community"
        in tried(operator, path, mapping(community), payload, home="home_9")["refused"][0]
    )
    assert tried(operator, path, mapping(community), "on")["refused"] == ["the payload is not JSON"]
    other = {"mapping": mapping(community), "topic": "somewhere/else", "payload": "1"}
    refused(operator.post(f"{path}/try", json=other), 422, pointer="/topic")


def test_a_sample_of_an_interval_that_is_not_over_waits(operator: httpx.Client, community: str, path: str) -> None:
    now = datetime.now(UTC)
    wanted = mapping(community, topic=f"communities/{community}/sum", resolution_minutes=60)
    [reading] = tried(operator, path, wanted, f'{{"time": "{now.isoformat()}", "power": 1}}')["readings"]
    assert reading["waits"] is True


# Dead letters and readiness


async def with_letters(api: InMemoryApi, count: int) -> dict[str, str]:
    """The administrator's headers, after so many messages of a new community went wrong, one a minute."""
    await api.create_administrator()
    headers = {"Authorization": f"Bearer {(await api.login())['access_token']}"}
    body = {
        "community_id": "valley", "num_prosumers": 1, "total_pv_capacity_kw": 0, "total_storage_capacity_kwh": 0,
        "max_storage_power_kw": 0, "grid_import_limit_kw": 1, "grid_export_limit_kw": 1, "incentive_budget_daily": 0,
    }  # fmt: skip
    assert (await api.client.post("/communities", json=body, headers=headers)).status_code == 201
    for number in range(count):
        async with api.twin.store.community("valley") as tx:
            await tx.dead_letters.add([DeadLetter(api.clock.now(), "a/b", b"\xff{", 2, f"reason {number}")])
        api.clock.advance(minutes=1)
    return headers


async def test_dead_letters_are_paged_newest_first_and_deleted() -> None:
    async with in_memory_api() as api:
        headers, path = await with_letters(api, 5), "/communities/valley/dead-letters"
        first = (await api.client.get(path, params={"limit": 3}, headers=headers)).json()
        rest = {"limit": 3, "cursor": first["next"]}
        second = (await api.client.get(path, params=rest, headers=headers)).json()
        told = [one["reason"] for one in first["dead_letters"] + second["dead_letters"]]
        assert told == [f"reason {number}" for number in (4, 3, 2, 1, 0)]
        assert second["next"] is None
        assert (
            first["dead_letters"][0] | {"topic": "a/b", "payload": "\ufffd{", "payload_bytes": 2}
            == first["dead_letters"][0]
        )
        until = {"received_until": first["dead_letters"][-1]["received_at"]}
        assert (await api.client.delete(path, params=until, headers=headers)).json() == {"deleted": 3}
        assert (await api.client.delete(path, headers=headers)).json() == {"deleted": 2}


async def test_a_mapping_that_cannot_be_read_is_listed_apart() -> None:
    async with in_memory_api() as api:
        headers, path = await with_letters(api, 0), "/communities/valley/topic-mappings"
        several = TopicMapping("several", TopicTemplate("a/b"), (ValueMapping("load_kw", "$..kw"),))
        async with api.twin.store.community("valley") as tx:
            await tx.topic_mappings.add(several)
        listed = (await api.client.get(path, headers=headers)).json()
        assert listed["topic_mappings"] == []
        assert [one["mapping_id"] for one in listed["unreadable"]] == ["several"]
        assert "JSON path" in listed["unreadable"][0]["reason"]


async def test_a_cursor_that_is_none_of_ours_is_refused() -> None:
    async with in_memory_api() as api:
        headers = await with_letters(api, 0)
        for cursor in ("x", "MTIz!", "YWJj"):
            answer = await api.client.get(
                "/communities/valley/dead-letters", params={"cursor": cursor}, headers=headers
            )
            assert answer.status_code == 422


async def test_readiness_tells_whether_messages_are_taken_and_stays_ready() -> None:
    async with in_memory_api(mqtt_url="mqtt://127.0.0.1") as api:

        async def told() -> Any:
            answer = await api.client.get("/health/ready")
            assert answer.status_code == 200
            return answer.json()["mqtt"]

        assert await told() is False
        await api.twin.ingest.tell(Ingester("digital-twin", is_connected=True, filters=()))
        assert await told() is True
        await api.twin.ingest.tell(Ingester("digital-twin", is_connected=False, filters=()))
        assert await told() is False
        await api.twin.ingest.tell(Ingester("digital-twin", is_connected=True, filters=()))
        api.clock.advance(seconds=31)
        assert await told() is False

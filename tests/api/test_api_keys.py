"""Keys of services: what they open, and for how long."""

import json
from typing import Any

import httpx
import pytest
from tests.api.application import PASSWORD, Api, answered, refused
from tests.api.in_memory import in_memory_api
from tests.api.signing_in import bearer


def test_a_key_does_what_its_scopes_say_where_they_say_it(api: Api, operator: httpx.Client):
    here, there = api.community(operator), api.community(operator)
    key = api.key(operator, [here], "community:read")
    answered(key.get(f"/communities/{here}"))
    assert "make one that has it" in refused(key.get(f"/communities/{here}/members"), 403)["detail"]
    assert "log in as a person" in refused(key.delete(f"/communities/{here}/members/h1"), 403)["detail"]
    assert (
        refused(key.get(f"/communities/{there}"), 404) | same() == refused(key.get("/communities/none"), 404) | same()
    )
    assert [one["community_id"] for one in answered(key.get("/communities"))["communities"]] == [here]


def test_a_key_learns_nothing_of_its_owners_other_communities(api: Api, operator: httpx.Client):
    here, there = api.community(operator), api.community(operator)
    me = answered(api.key(operator, [here], "community:read").get("/auth/me"))
    assert [one["community_id"] for one in me["communities"]] == [here]
    assert there not in json.dumps(me)


def test_a_key_manages_neither_keys_nor_sessions_nor_people(api: Api, community: str):
    scopes = ["community:write", "readings:write"]
    key = api.key(api.admin, [community], *scopes)
    body = {"name": "another", "scopes": scopes, "communities": [community]}
    refused(key.post("/auth/api-keys", json=body), 403)
    refused(key.get("/auth/api-keys"), 403)
    refused(key.get("/auth/sessions"), 403)
    refused(key.post("/auth/logout-all"), 403)
    refused(key.post("/invites", json={"role": "viewer"}), 403)
    refused(key.get("/users"), 403)
    refused(key.get(f"/communities/{community}/memberships"), 403)
    refused(key.delete(f"/communities/{community}"), 403)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"scopes": ["users:manage"]}, 422),
        ({"scopes": ["memberships:manage"]}, 422),
        ({"scopes": ["community:delete"]}, 422),
        ({"scopes": ["public"]}, 422),
        ({"scopes": []}, 422),
        ({"communities": []}, 422),
        ({"communities": ["nowhere_at_all"]}, 404),
        ({"expires_in_days": 0}, 422),
        ({"expires_in_days": 366}, 422),
        ({"scopes": ["readings:write"] * 2}, 201),
    ],
    ids=str,
)
def test_a_key_is_made_only_with_what_keys_may_have(
    api: Api, operator: httpx.Client, community: str, change: dict[str, Any], status: int
):
    body = {"name": "gateway", "scopes": ["readings:write"], "communities": [community]}
    for client in (operator, api.admin):
        assert client.post("/auth/api-keys", json={**body, **change}).status_code == status


def test_a_key_has_no_more_than_its_maker_has_now(api: Api, operator: httpx.Client, community: str):
    viewer = api.member_of(community, "viewer")
    body = {"name": "gateway", "scopes": ["readings:write"], "communities": [community]}
    refused(viewer.post("/auth/api-keys", json=body), 403)
    key = api.key(viewer, [community], "community:read")
    username = answered(viewer.get("/auth/me"))["username"]
    answered(operator.delete(f"/communities/{community}/memberships/{username}"), 204)
    refused(key.get(f"/communities/{community}"), 404)


def test_a_revoked_key_is_dead_at_once_and_shown_to_its_owner_alone(api: Api, operator: httpx.Client, community: str):
    made = answered(
        operator.post(
            "/auth/api-keys", json={"name": "gateway", "scopes": ["community:read"], "communities": [community]}
        ),
        201,
    )
    key = api.anonymous(**{"X-API-Key": made["key"]})
    answered(key.get(f"/communities/{community}"))
    [listed] = [one for one in answered(operator.get("/auth/api-keys"))["api_keys"] if one["id"] == made["id"]]
    assert listed["last_used_at"] is not None
    assert "key" not in listed
    for other in (api.admin, api.account("operator")):
        refused(other.delete(f"/auth/api-keys/{made['id']}"), 404)
    answered(operator.delete(f"/auth/api-keys/{made['id']}"), 204)
    refused(key.get(f"/communities/{community}"), 401)
    refused(operator.delete(f"/auth/api-keys/{made['id']}"), 404)


async def test_a_key_ends_when_it_was_said_to():
    async with in_memory_api() as api:
        await api.create_administrator()
        headers = bearer(await api.login())
        community = {"community_id": "valley", "num_prosumers": 3, "total_pv_capacity_kw": 5.0,
                     "total_storage_capacity_kwh": 5.0, "max_storage_power_kw": 5.0, "grid_import_limit_kw": 5.0,
                     "grid_export_limit_kw": 5.0, "incentive_budget_daily": 0.0}  # fmt: skip
        await api.client.post("/communities", json=community, headers=headers)
        body = {"name": "x", "scopes": ["community:read"], "communities": ["valley"], "expires_in_days": 1}
        key = (await api.client.post("/auth/api-keys", json=body, headers=headers)).json()["key"]
        api.clock.advance(hours=23)
        assert (await api.client.get("/communities/valley", headers={"X-API-Key": key})).status_code == 200
        api.clock.advance(hours=1)
        assert (await api.client.get("/communities/valley", headers={"X-API-Key": key})).status_code == 401


def test_a_key_with_a_changed_letter_is_no_key(api: Api, operator: httpx.Client, community: str):
    text = api.key(operator, [community], "community:read").headers["X-API-Key"]
    for changed in (text[:-1], text + "A", text.swapcase(), text.replace("dt_live_", "dt_test_"), text.split("_")[-1]):
        refused(api.anonymous(**{"X-API-Key": changed}).get("/auth/me"), 401)


@pytest.mark.parametrize("path", ["/auth/api-keys", "/invites", "/auth/password"])
def test_answers_and_bodies_with_secrets_are_not_kept_for_a_replay(api: Api, path: str):
    bodies = {
        "/auth/api-keys": {"name": "x", "scopes": ["community:read"], "communities": [api.community()]},
        "/invites": {"role": "viewer"},
        "/auth/password": {"current_password": PASSWORD, "new_password": "a new password for me"},
    }
    problem = refused(api.admin.post(path, json=bodies[path], headers={"Idempotency-Key": "once"}), 422)
    assert "Idempotency-Key" in problem["detail"]


def same() -> dict[str, str]:
    """What differs between any two problems."""
    return {"request_id": ""}

"""Who may make an account, and who invites whom."""

from typing import Any

import httpx
import pytest
from tests.api.application import PASSWORD, Api, answered, refused
from tests.api.in_memory import in_memory_api
from tests.api.signing_in import AT_ONCE, at_once, bearer, founder, login

# Registration


@pytest.mark.parametrize("role", ["admin", "operator", "viewer", "api_user"])
def test_nobody_gives_themselves_a_role_or_a_community(api: Api, operator: httpx.Client, role: str):
    for client in (api.anonymous(), operator, api.account("viewer")):
        account = answered(client.post("/auth/register", json=registration(api, role)), 201)
        assert account["role"] == "viewer"
        assert account["requested_role"] == (None if role == "viewer" else role)
        assert answered(api.login(account["username"]).get("/auth/me"))["communities"] == []


def test_a_key_of_an_administrator_gives_no_role(api: Api, community: str):
    key = api.key(api.admin, [community], "community:read").headers["X-API-Key"]
    as_bearer = api.anonymous(Authorization=f"Bearer {key}")
    assert answered(as_bearer.post("/auth/register", json=registration(api, "admin")), 201)["role"] == "viewer"


def test_names_and_addresses_are_taken_whatever_their_case(api: Api):
    body = registration(api, "viewer")
    answered(api.anonymous().post("/auth/register", json=body), 201)
    for again in (
        {**body, "username": body["username"].upper(), "email": "another@example.org"},
        {**body, "username": api.fresh("another"), "email": body["email"].upper()},
    ):
        refused(api.anonymous().post("/auth/register", json=again), 409)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("username", "ab"),
        ("username", "a b c"),
        ("username", "naïve"),
        ("username", "line\n"),
        ("email", "nobody"),
        ("email", "a@b"),
        ("email", "a@b.c\n"),
        ("email", f"{'x' * 65}@example.org"),
        ("password", "fourteen chars"),
        ("password", "x" * 129),
        ("password", "aaaaaaaaaaaaaaaaaaaa"),
        ("password", "Energycommunity1"),
        ("password", "Password_Password!"),
        ("password", "123456789012345"),
        ("password", "0987654321098765"),
        ("password", "a\x00 b c d e f g h i j"),
        ("password", "x" * 10_000),
        ("role", "root"),
        ("role", "Admin"),
        ("invite_token", "a b"),
    ],
)
def test_a_registration_that_breaks_a_rule_is_refused_by_its_field(api: Api, name: str, value: str):
    response = api.anonymous().post("/auth/register", json={**registration(api, "viewer"), name: value})
    refused(response, 422, pointer=f"/{name}")
    assert len(value) < 9 or value not in response.text


def test_a_password_may_not_hold_the_username(api: Api):
    body = registration(api, "viewer")
    refused(
        api.anonymous().post("/auth/register", json={**body, "password": f"my name is {body['username']}!"}),
        422,
        pointer="/password",
    )


@pytest.mark.parametrize(
    "password",
    [
        "αβγδεζηθικλμνξοπ" * 4,
        "🌞" * 3 + " sun over the roof",
        "é" + "e\u0301 two spellings",
        " spaces at both ends ",
        "x1y2z" * 25,
    ],
)
def test_any_long_text_is_a_password(api: Api, password: str):
    body = {**registration(api, "viewer"), "password": password}
    answered(api.anonymous().post("/auth/register", json=body), 201)
    assert answered(api.login(body["username"], password).get("/auth/me"))["username"] == body["username"]


def test_passwords_differ_beyond_their_72nd_byte(api: Api):
    body = {**registration(api, "viewer"), "password": "abcde" * 20 + "first"}
    answered(api.anonymous().post("/auth/register", json=body), 201)
    for other in ("abcde" * 20 + "other", "abcde" * 20, "abcde" * 14 + "ab"):
        refused(login(api, body["username"], other), 401)
    assert login(api, body["username"], body["password"]).status_code == 200


@pytest.mark.parametrize(
    ("door", "without", "with_invite"), [("open", 201, 201), ("invite", 403, 201), ("closed", 403, 201)]
)
async def test_the_door_is_open_for_all_for_invited_or_for_invited_only(door: str, without: int, with_invite: int):
    async with in_memory_api(registration=door) as api:
        await api.create_administrator()
        client, admin = api.client, bearer(await api.login())
        body = {"username": "someone", "email": "someone@example.org", "password": PASSWORD, "role": "viewer"}
        assert (await client.post("/auth/register", json=body)).status_code == without
        guest = {**body, "username": "guest", "email": "guest@example.org"}
        made_up = await client.post("/auth/register", json={**guest, "invite_token": "made-up"})
        assert made_up.status_code == 404
        invite = (await client.post("/invites", json={"role": "operator"}, headers=admin)).json()["invite_token"]
        welcome = await client.post("/auth/register", json={**guest, "invite_token": invite})
        assert welcome.status_code == with_invite
        assert welcome.json()["role"] == "operator"


async def test_the_setup_token_makes_one_administrator_and_no_other():
    async with in_memory_api() as api:
        first, second = [await api.twin.accounts.setup_token() for _ in range(2)]
        assert first is not None
        assert second is not None
        post = api.client.post
        made = await post("/auth/register", json=founder("anna"), headers={"Authorization": f"Bearer {first}"})
        assert (made.status_code, made.json()["role"]) == (201, "admin")
        for token in (first, second):
            again = await post("/auth/register", json=founder("bela"), headers={"Authorization": f"Bearer {token}"})
            assert again.status_code == 404
        assert await api.twin.accounts.setup_token() is None


async def test_the_setup_token_is_good_for_an_hour():
    async with in_memory_api() as api:
        token = await api.twin.accounts.setup_token()
        api.clock.advance(hours=1)
        late = await api.client.post("/auth/register", json={**founder("anna"), "invite_token": token})
        assert late.status_code == 404


# Invites


def test_an_invite_is_used_once_however_many_come_at_once(api: Api, operator: httpx.Client, community: str):
    invite = answered(operator.post("/invites", json={"role": "operator", "community_id": community}), 201)
    bodies = [{**registration(api, "viewer"), "invite_token": invite["invite_token"]} for _ in range(AT_ONCE)]
    answers = at_once(lambda body: api.anonymous().post("/auth/register", json=body), bodies)
    assert sorted(answer.status_code for answer in answers) == [201] + [404] * (AT_ONCE - 1)
    [made] = [answer.json() for answer in answers if answer.status_code == 201]
    me = answered(api.login(made["username"]).get("/auth/me"))
    assert me["role"] == "viewer"
    assert [(one["community_id"], one["role"]) for one in me["communities"]] == [(community, "operator")]


def test_an_invite_that_cannot_be_used_is_not_used_up(api: Api, operator: httpx.Client, community: str):
    token = answered(operator.post("/invites", json={"role": "viewer", "community_id": community}), 201)["invite_token"]
    body = {**registration(api, "viewer"), "invite_token": token}
    refused(api.anonymous().post("/auth/register", json={**body, "username": "root_admin"}), 409)
    answered(api.anonymous().post("/auth/register", json=body), 201)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"role": "admin"}, 403),
        ({"role": "viewer"}, 403),
        ({"role": "admin", "community_id": "theirs"}, 403),
        ({"role": "viewer", "community_id": "theirs"}, 404),
        ({"role": "viewer", "community_id": "nowhere_at_all"}, 404),
        ({"role": "operator", "community_id": "ours", "member_id": "home_1"}, 422),
        ({"role": "viewer", "community_id": "ours", "member_id": "nobody"}, 404),
        ({"role": "viewer", "community_id": "ours", "member_id": "home_1"}, 201),
    ],
)
def test_an_operator_invites_into_their_own_community_only(
    api: Api, operator: httpx.Client, stranger: httpx.Client, community: str, body: dict[str, str], status: int
):
    answered(operator.post(f"/communities/{community}/members", json={"members": [{"member_id": "home_1"}]}), 201)
    named = {"ours": community, "theirs": api.community(stranger)}
    body = {**body, **{name: named.get(value, value) for name, value in body.items() if name == "community_id"}}
    assert operator.post("/invites", json=body).status_code == status


def test_an_administrators_invite_makes_sense_too(api: Api, community: str):
    for body, status in (
        ({"role": "admin", "community_id": community}, 422),
        ({"role": "viewer", "community_id": "nowhere_at_all"}, 404),
        ({"role": "viewer", "member_id": "home_1"}, 422),
        ({"role": "admin"}, 201),
    ):
        assert api.admin.post("/invites", json=body).status_code == status, body


def test_an_invite_is_void_once_its_author_lost_the_right(api: Api):
    author = api.register("operator")
    client = api.login(author)
    community = api.community(client)
    token = answered(client.post("/invites", json={"role": "operator", "community_id": community}), 201)["invite_token"]
    answered(api.admin.delete(f"/communities/{community}/memberships/{author}"), 204)
    body = {**registration(api, "viewer"), "invite_token": token}
    refused(api.anonymous().post("/auth/register", json=body), 404)
    answered(api.admin.put(f"/communities/{community}/memberships", json={"username": author, "role": "operator"}))
    answered(api.anonymous().post("/auth/register", json=body), 201)


def test_an_invite_does_not_outlive_its_community(api: Api, operator: httpx.Client, stranger: httpx.Client):
    community = api.community(operator)
    token = answered(operator.post("/invites", json={"role": "operator", "community_id": community}), 201)[
        "invite_token"
    ]
    answered(operator.delete(f"/communities/{community}"), 204)
    body = {**registration(api, "viewer"), "invite_token": token}
    refused(api.anonymous().post("/auth/register", json=body), 404)
    api.community(stranger, community_id=community)
    refused(api.anonymous().post("/auth/register", json=body), 404)


async def test_an_invite_is_good_for_a_week():
    async with in_memory_api() as api:
        await api.create_administrator()
        headers = bearer(await api.login())
        invite = (await api.client.post("/invites", json={"role": "viewer"}, headers=headers)).json()["invite_token"]
        api.clock.advance(days=7)
        late = await api.client.post("/auth/register", json={**founder("anna"), "invite_token": invite})
        assert late.status_code == 404


def registration(api: Api, role: str) -> dict[str, Any]:
    username = api.fresh("self")
    return {"username": username, "email": f"{username}@example.org", "password": PASSWORD, "role": role}

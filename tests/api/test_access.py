"""Who comes in, with what, for how long; and who does not."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from tests.api.application import PASSWORD, Api, answered, refused
from tests.api.in_memory import SIGNING_KEY, InMemoryApi, in_memory_api

from digital_twin.api.auth import address_of
from digital_twin.bootstrap import Settings
from digital_twin.cli.main import server_options

AT_ONCE = 20


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


# Logging in


async def test_unknown_wrong_and_inactive_look_the_same():
    async with in_memory_api() as api:
        await api.create_administrator()
        headers = bearer(await api.login())
        gone = await api.client.post("/auth/register", json=founder("gone"), headers=headers)
        await api.client.patch(f"/users/{gone.json()['id']}", json={"active": False}, headers=headers)
        answers = [
            await api.client.post("/auth/login", json={"username": username, "password": password})
            for username, password in (("nobody", PASSWORD), ("root_admin", PASSWORD + "!"), ("gone", PASSWORD))
        ]
        problems = [{**answer.json(), "request_id": ""} for answer in answers]
        assert [answer.status_code for answer in answers] == [401] * 3
        assert problems[0] == problems[1] == problems[2]
        assert len({frozenset(set(answer.headers) - {"x-request-id"}) for answer in answers}) == 1


async def test_the_eleventh_attempt_on_an_account_waits_even_with_the_right_password():
    async with in_memory_api() as api:
        await api.create_administrator()
        wrong = {"username": "Root_Admin", "password": "not the right one"}
        answers = [await api.client.post("/auth/login", json=wrong) for _ in range(10)]
        assert {answer.status_code for answer in answers} == {401}
        late = await api.client.post("/auth/login", json={"username": "root_admin", "password": PASSWORD})
        assert_throttled(late, quota=10, window_s=300)


async def test_an_address_has_three_times_the_attempts_whatever_headers_it_writes():
    async with in_memory_api(login_attempts_per_5_minutes=2) as api:
        answers = [
            await api.client.post(
                "/auth/login",
                json={"username": f"user_{number}", "password": "x"},
                headers={"X-Forwarded-For": f"10.0.0.{number}", "Forwarded": f"for=10.0.0.{number}"},
            )
            for number in range(7)
        ]
        assert [answer.status_code for answer in answers] == [401] * 6 + [429]


async def test_an_address_registers_only_so_many_accounts_an_hour():
    async with in_memory_api(registration="open", registrations_per_hour=2) as api:
        answers = [await api.client.post("/auth/register", json=founder(name)) for name in ("one_", "two_", "three")]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert_throttled(answers[-1], quota=2, window_s=3600)


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "seen"),
    [
        ("", "127.0.0.1", "9.9.9.9", "127.0.0.1"),
        ("10.0.0.0/8", "8.8.8.8", "9.9.9.9", "8.8.8.8"),
        ("10.0.0.0/8", "10.1.2.3", "9.9.9.9", "9.9.9.9"),
        ("10.0.0.0/8", "10.1.2.3", "made up, 6.6.6.6, 9.9.9.9, 10.0.0.7", "9.9.9.9"),
        ("10.0.0.1, 192.168.0.0/16", "192.168.4.4", "9.9.9.9", "9.9.9.9"),
    ],
)
async def test_an_address_is_what_the_socket_or_a_named_proxy_says(trusted: str, peer: str, forwarded: str, seen: str):
    async def tell(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(address_of(Request(scope)))(scope, receive, send)

    config = uvicorn.Config(tell, **server_options(Settings(trusted_proxies=trusted)))
    config.load()
    transport = httpx.ASGITransport(config.loaded_app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://twin.example.org") as client:
        assert (await client.get("/", headers={"X-Forwarded-For": forwarded})).text == seen


@pytest.mark.parametrize("proxies", ["*", "proxy.example.org", "10.0.0.1/8", "10.0.0.0/99", "127.0.0.1 10.0.0.1"])
def test_proxies_are_named_by_their_addresses(proxies: str):
    with pytest.raises(ValueError, match="addresses or networks"):
        Settings(trusted_proxies=proxies)


# Sessions


async def test_a_refresh_token_is_exchanged_once():
    async with signed_in() as (api, tokens):
        first = (await api.refresh(tokens["refresh_token"])).json()
        assert first["refresh_token"] != tokens["refresh_token"]
        api.clock.advance(seconds=11)
        second = await api.refresh(first["refresh_token"])
        assert second.status_code == 200
        assert (await api.me(second.json()["access_token"])).status_code == 200


async def test_a_repetition_within_ten_seconds_gets_the_same_answer_again():
    async with signed_in() as (api, tokens):
        first = (await api.refresh(tokens["refresh_token"])).json()
        api.clock.advance(seconds=10)
        again = (await api.refresh(tokens["refresh_token"])).json()
        assert again["refresh_token"] == first["refresh_token"]
        assert (await api.refresh(again["refresh_token"])).status_code == 200


@pytest.mark.parametrize("generations", [1, 2, 5])
async def test_an_old_refresh_token_ends_the_whole_session(generations: int):
    async with signed_in() as (api, tokens):
        newest = tokens
        for _ in range(generations):
            newest = (await api.refresh(newest["refresh_token"])).json()
        api.clock.advance(seconds=11)
        stolen = await api.refresh(tokens["refresh_token"])
        assert stolen.status_code == 401
        assert (await api.refresh(newest["refresh_token"])).status_code == 401
        assert (await api.me(newest["access_token"])).status_code == 401


async def test_another_persons_session_does_not_end_by_guessing():
    async with signed_in() as (api, tokens):
        other = await api.login()
        for made_up in ("", "x", ".", f".{tokens['refresh_token']}", f"{'0' * 24}.{'x' * 43}"):
            assert (await api.refresh(made_up)).status_code in (401, 422)
        for good in (tokens, other):
            assert (await api.refresh(good["refresh_token"])).status_code == 200


def test_refreshing_many_times_at_once_leaves_one_line(api: Api):
    tokens = answered(login(api, api.register("viewer")))
    answers = at_once(lambda token: refresh(api, token), [tokens["refresh_token"]] * AT_ONCE)
    assert {answer.status_code for answer in answers} == {200}
    [successor] = {answer.json()["refresh_token"] for answer in answers}
    assert refresh(api, successor).status_code == 200


async def test_a_session_ends_after_thirty_days_and_an_access_token_after_thirty_minutes():
    async with signed_in() as (api, tokens):
        api.clock.advance(minutes=30)
        assert (await api.me(tokens["access_token"])).status_code == 401
        fresh = (await api.refresh(tokens["refresh_token"])).json()
        assert (await api.me(fresh["access_token"])).status_code == 200
        api.clock.advance(days=30)
        assert (await api.refresh(fresh["refresh_token"])).status_code == 401


def test_logging_out_ends_this_session_and_no_other(api: Api):
    username = api.register("viewer")
    one, other = answered(login(api, username)), answered(login(api, username))
    answered(as_bearer(api, one).post("/auth/logout"), 204)
    refused(as_bearer(api, one).get("/auth/me"), 401)
    refused(refresh(api, one["refresh_token"]), 401)
    answered(as_bearer(api, other).get("/auth/me"))
    assert refresh(api, other["refresh_token"]).status_code == 200


def test_logging_out_everywhere_ends_all_sessions(api: Api):
    username = api.register("viewer")
    pairs = [answered(login(api, username)) for _ in range(3)]
    answered(as_bearer(api, pairs[0]).post("/auth/logout-all"), 204)
    for pair in pairs:
        refused(as_bearer(api, pair).get("/auth/me"), 401)
        refused(refresh(api, pair["refresh_token"]), 401)


def test_a_session_is_listed_and_ended_by_its_owner_alone(api: Api):
    owner, other = api.register("viewer"), api.account("operator")
    one, here = answered(login(api, owner)), as_bearer(api, answered(login(api, owner)))
    sessions = answered(here.get("/auth/sessions"))["sessions"]
    assert [session["current"] for session in sessions] == [True, False]
    away = sessions[1]["id"]
    for client in (other, api.admin):
        refused(client.delete(f"/auth/sessions/{away}"), 404)
    answered(here.delete(f"/auth/sessions/{away}"), 204)
    refused(as_bearer(api, one).get("/auth/me"), 401)
    refused(here.delete(f"/auth/sessions/{away}"), 404)
    assert [session["current"] for session in answered(here.get("/auth/sessions"))["sessions"]] == [True]


def test_a_new_password_ends_the_other_sessions_and_the_old_password(api: Api):
    username, new = api.register("viewer"), "another horse, another battery"
    other, here = answered(login(api, username)), as_bearer(api, answered(login(api, username)))
    change = {"current_password": PASSWORD, "new_password": new}
    refused(here.post("/auth/password", json={**change, "current_password": new}), 403)
    refused(here.post("/auth/password", json={**change, "new_password": "too short"}), 422, pointer="/new_password")
    answered(here.post("/auth/password", json=change), 204)
    answered(here.get("/auth/me"))
    refused(as_bearer(api, other).get("/auth/me"), 401)
    refused(refresh(api, other["refresh_token"]), 401)
    refused(login(api, username), 401)
    assert login(api, username, new).status_code == 200


def test_a_stolen_access_token_does_not_guess_the_password_for_ever(api: Api):
    client = api.account("viewer")
    guess = {"current_password": "a guess", "new_password": "a new password for me"}
    statuses = [client.post("/auth/password", json=guess).status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]


# Access tokens


@pytest.mark.parametrize(
    "change",
    [
        {"exp": None},
        {"sub": None},
        {"sid": None},
        {"iss": None},
        {"aud": None},
        {"jti": None},
        {"nbf": None},
        {"iat": None},
        {"iss": "someone"},
        {"aud": ["other"]},
        {"sub": "999999"},
        {"sub": "x"},
        {"sid": "unknown"},
        {"sid": "a\x00"},
        {"sid": ["a"]},
        {"exp": 10**30},
        {"exp": "soon"},
        {"exp": -1},
        {"nbf": 2**40},
        {"exp": float("inf")},
    ],
    ids=str,
)
async def test_a_token_with_another_claim_is_no_token(change: dict[str, Any]):
    async with signed_in() as (api, tokens):
        assert (await api.me(forged(tokens["access_token"], change))).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"typ": 1},
        {"alg": "none"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": ["HS256"]},
        {"crit": ["x"], "x": 1},
    ],
    ids=str,
)
async def test_a_token_with_another_header_is_no_token(header: dict[str, Any]):
    async with signed_in() as (api, tokens):
        head, body, signature = tokens["access_token"].split(".")
        changed = encoded({**json.loads(decoded(head)), **header})
        resigned = jwt.api_jws.get_algorithm_by_name("HS256").sign(f"{changed}.{body}".encode(), SIGNING_KEY.encode())
        for last in (signature, "", base64.urlsafe_b64encode(resigned).rstrip(b"=").decode()):
            assert (await api.me(f"{changed}.{body}.{last}")).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["jwk", "jku", "x5u", "kid"],
)
async def test_a_key_that_the_token_brings_is_not_believed(header: str):
    async with signed_in() as (api, tokens):
        claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
        extra = {header: {"kty": "oct", "k": encoded("x" * 43)} if header == "jwk" else "../../dev/null"}
        own_key = "x" * 43
        token = jwt.encode(claims, own_key, algorithm="HS256", headers={"typ": "at+jwt", **extra})
        assert (await api.me(token)).status_code == 401


@pytest.mark.parametrize(
    "token",
    ["x", "..", "a.b.c", "\xff.\xff.\xff", "é" * 50, "x" * 2**20, "e30." * 100_000, "dt_live_", "dt_live_x_y", "null"],
    ids=lambda token: token[:12],
)
async def test_what_is_no_token_signs_nobody_in(token: str):
    async with in_memory_api() as api:
        for headers in (
            {b"Authorization": f"Bearer {token}".encode("latin-1")},
            {b"X-API-Key": token.encode("latin-1")},
        ):
            answer = await api.client.get("/auth/me", headers=headers)
            assert answer.status_code == 401
            assert "POST /auth/login" in answer.json()["detail"]
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_refresh_token_is_no_access_token_and_the_reverse():
    async with signed_in() as (api, tokens):
        assert (await api.me(tokens["refresh_token"])).status_code == 401
        assert (await api.refresh(tokens["access_token"])).status_code == 401


async def test_a_token_changed_in_any_letter_is_no_token():
    async with signed_in() as (api, tokens):
        token = tokens["access_token"]
        assert (await api.me(token)).status_code == 200
        for place in range(0, len(token) - 1, 7):  # the last letter holds bits that are not used
            letter = "A" if token[place] != "A" else "B"
            assert (await api.me(token[:place] + letter + token[place + 1 :])).status_code == 401, place


# Administrators


def test_a_role_and_a_deactivation_hold_at_once_for_open_sessions(api: Api):
    username = api.register("operator")
    client = api.login(username)
    account = answered(client.get("/auth/me"))["id"]
    community = api.community(client)
    key = api.key(client, [community], "community:read")
    answered(api.admin.patch(f"/users/{account}", json={"role": "viewer"}))
    refused(client.post("/communities", json={"community_id": "x"}), 403)
    answered(api.admin.patch(f"/users/{account}", json={"active": False}))
    refused(client.get("/auth/me"), 401)
    refused(key.get(f"/communities/{community}"), 401)
    refused(login(api, username), 401)
    answered(api.admin.patch(f"/users/{account}", json={"active": True}))
    refused(client.get("/auth/me"), 401)  # the session ended for good
    answered(key.get(f"/communities/{community}"))


def test_the_last_administrator_stays(api: Api):
    root = answered(api.admin.get("/auth/me"))["id"]
    for change in ({"role": "operator"}, {"active": False}, {"role": "viewer", "active": False}):
        refused(api.admin.patch(f"/users/{root}", json=change), 409)
    assert answered(api.admin.get("/auth/me"))["role"] == "admin"


def test_two_administrators_who_demote_each_other_leave_one(api: Api):
    root = answered(api.admin.get("/auth/me"))["id"]
    for _ in range(5):
        other = api.account("admin")
        second = answered(other.get("/auth/me"))["id"]
        pairs = [(api.admin, second), (other, root)]
        answers = at_once(lambda pair: pair[0].patch(f"/users/{pair[1]}", json={"role": "viewer"}), pairs)
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses in ([200, 403], [200, 409]), [answer.text for answer in answers]
        if answered(api.admin.get("/auth/me"))["role"] != "admin":
            answered(other.patch(f"/users/{root}", json={"role": "admin"}))
            answered(api.admin.patch(f"/users/{second}", json={"role": "viewer"}))


# API keys


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


# Settings


@pytest.mark.parametrize(
    "weak",
    [
        {"jwt_secret_key": None},
        {"secret_key": None},
        {"secret_key": "short"},
        {"jwt_secret_key": "change-me-0123456789-0123456789-0123456789"},
        {"password_cost": 10},
    ],
    ids=str,
)
def test_production_starts_with_no_weak_secret(weak: dict[str, Any]):
    strong = {"environment": "production", "secret_key": "k3" * 20, "jwt_secret_key": "q7" * 20}
    Settings(**strong)
    with pytest.raises(ValueError, match=next(iter(weak)).upper()):
        Settings(**{**strong, **weak})


# Words of these tests


class signed_in:  # noqa: N801  reads as a verb
    """An installation in memory and the tokens of its administrator."""

    async def __aenter__(self) -> tuple[InMemoryApi, dict[str, Any]]:
        self._opened = in_memory_api()
        api = await self._opened.__aenter__()
        await api.create_administrator()
        return api, await api.login()

    async def __aexit__(self, *raised: Any) -> None:
        await self._opened.__aexit__(*raised)


def registration(api: Api, role: str) -> dict[str, Any]:
    username = api.fresh("self")
    return {"username": username, "email": f"{username}@example.org", "password": PASSWORD, "role": role}


def founder(username: str) -> dict[str, Any]:
    return {"username": username, "email": f"{username}@example.org", "password": PASSWORD, "role": "admin"}


def login(api: Api, username: str, password: str = PASSWORD) -> httpx.Response:
    return api.anonymous().post("/auth/login", json={"username": username, "password": password})


def refresh(api: Api, token: str) -> httpx.Response:
    return api.anonymous().post("/auth/refresh", json={"refresh_token": token})


def as_bearer(api: Api, tokens: dict[str, Any]) -> httpx.Client:
    return api.anonymous(Authorization=f"Bearer {tokens['access_token']}")


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def at_once(ask: Any, given: list[Any]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(given)) as threads:
        return list(threads.map(ask, given))


def same() -> dict[str, str]:
    """What differs between any two problems."""
    return {"request_id": ""}


def assert_throttled(response: httpx.Response, *, quota: int, window_s: int) -> None:
    assert response.status_code == 429
    wait_s = int(response.headers["retry-after"])
    assert 1 <= wait_s <= window_s
    assert response.headers["ratelimit"] == f'"attempts";r=0;t={wait_s}'
    assert response.headers["ratelimit-policy"] == f'"attempts";q={quota};w={window_s}'


def forged(token: str, change: dict[str, Any]) -> str:
    """A token signed with the true key, with other claims."""
    claims = {**jwt.decode(token, options={"verify_signature": False}), **change}
    kept = {name: value for name, value in claims.items() if value is not None}
    head, body = encoded({"typ": "at+jwt", "alg": "HS256"}), encoded(kept)
    signature = jwt.api_jws.get_algorithm_by_name("HS256").sign(f"{head}.{body}".encode(), SIGNING_KEY.encode())
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

"""Logging in, and the session that follows until it ends."""

from typing import Any

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from tests.api.application import PASSWORD, Api, answered, refused
from tests.api.in_memory import in_memory_api
from tests.api.signing_in import AT_ONCE, as_bearer, at_once, bearer, founder, login, signed_in

from digital_twin.api.auth import address_of
from digital_twin.bootstrap import Settings
from digital_twin.cli.main import server_options

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


def refresh(api: Api, token: str) -> httpx.Response:
    return api.anonymous().post("/auth/refresh", json={"refresh_token": token})


def assert_throttled(response: httpx.Response, *, quota: int, window_s: int) -> None:
    assert response.status_code == 429
    wait_s = int(response.headers["retry-after"])
    assert 1 <= wait_s <= window_s
    assert response.headers["ratelimit"] == f'"attempts";r=0;t={wait_s}'
    assert response.headers["ratelimit-policy"] == f'"attempts";q={quota};w={window_s}'

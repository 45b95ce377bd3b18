"""Hostile input is refused with a problem that names the place and never repeats what was sent."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.in_memory import asked
from tests.api.operations import Operation, operations

from digital_twin.bootstrap import Settings

CANARY = 'canary "7f3a" \u00e4\u4e2d<b>;--'
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
NOT_JSON = {
    "empty": b"",
    "NaN": b"NaN",
    "half": b'{"username": "a',
    "trailing comma": b'{"username": "a",}',
    "comment": b"{} // canary",
    "not UTF-8": b'{"username": "\xff\xfe"}',
    "UTF-16": '{"username": "a"}'.encode("utf-16"),
    "lone surrogate": b'{"username": "\\ud800"}',
    "100k deep": b"[" * 100_000,
    "100k deep and closed": b'{"username":' * 100_000 + b"1" + b"}" * 100_000,
    "900 deep and closed": b"[" * 900 + b"]" * 900,
    "5000 digits": b'{"username": ' + b"9" * 5_000 + b"}",
    "null": b"null",
    "list": b"[]",
    "text": b'"canary"',
    "a name twice": b'{"username": "a", "username": "b"}',
}
NEVER_A_NUMBER = ("NaN", "-Infinity", "1e999", '"1_000"', "true", str(10**30))
NEVER_A_TIME = (
    '"9999-12-31T23:59:59Z"',
    '"0001-01-01T00:00:00+23:59"',
    '"2026-03-01T00:00:00"',
    '"2026-02-30T00:00:00Z"',
    "1772323200",
    "true",
    '"now"',
    '"2026-03-01T00:00:00Z\\u0000"',
)
HOSTILE = ('"\\u0000"', json.dumps(CANARY), '"' + "x" * 100_000 + '"', "[[]]")
TIMES = ("start", "start_time", "end_time", "valid_from", "joined_at")


@pytest.fixture(scope="module")
def ids(api: Api) -> dict[str, Any]:
    """What the paths name; nothing of it is at stake."""
    community = api.community(num_prosumers=3)
    return {
        "community_id": community,
        "account_id": 2**40,
        "username": "nobody_here",
        "session_id": "unknown",
        "key_id": "unknown",
        "result_id": "00000000-0000-0000-0000-000000000000",
        "kind": "unknown",
        "member_id": "unknown",
        "mapping_id": "unknown",
        "feed": "weather",
    }


@pytest.fixture(scope="module")
def with_bodies(api: Api) -> list[Operation]:
    """The operations that take JSON, but for those that would end the administrator's own session or account."""
    document = answered(api.anonymous().get("/openapi.json"))
    return [one for one in operations(document) if one.example() is not None and one.path != "/auth/password"]


def test_what_is_not_json_is_refused_everywhere(api: Api, with_bodies: list[Operation], ids: dict[str, Any]):
    assert len(with_bodies) > 10
    for operation in with_bodies:
        own_parser = operation.path.endswith("/readings")
        for name in (
            NOT_JSON if own_parser or operation.path == "/auth/login" else ("empty", "NaN", "100k deep", "list")
        ):
            body = NOT_JSON[name]
            response = send(api.admin, operation, ids, body)
            problem = checked(response, f"{operation.name} {name}")
            assert response.status_code in (400, 422), (operation.name, name, problem)
            assert "canary" not in response.text


def test_a_refused_shape_points_at_the_body_and_not_at_a_byte(api: Api):
    for body in (b"NaN", b'{"username": "a",}', b"[]"):
        refused(post_login(api, body), 422, pointer="")
    assert refused(post_login(api, NOT_JSON["a name twice"]), 400)["detail"] == (
        "an object in the body has the same name twice"
    )


def test_every_leaf_of_every_example_takes_hostile_values_without_a_server_error_or_an_echo(
    api: Api, with_bodies: list[Operation], ids: dict[str, Any]
):
    for operation in with_bodies:
        example = operation.example()
        for path in leaves(example):
            for literal in HOSTILE:
                response = send(api.admin, operation, ids, with_leaf(example, path, literal))
                where = f"{operation.name} {path} {literal[:40]}"
                assert response.status_code < 500, where
                if response.status_code >= 400:
                    checked(response, where)
                    assert "7f3a" not in response.text, where
                    assert "xxxxxxxx" not in response.text, where


def test_numbers_are_finite_bounded_and_not_text(api: Api, with_bodies: list[Operation], ids: dict[str, Any]):
    tried = 0
    for operation in with_bodies:
        example = operation.example()
        for path in leaves(example):
            value = at(example, path)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            for literal in NEVER_A_NUMBER:
                response = send(api.admin, operation, ids, with_leaf(example, path, literal))
                tried += 1
                assert response.status_code == 422, f"{operation.name} {path} {literal}: {response.text}"
    assert tried > 60


def test_times_are_aware_and_of_this_age(api: Api, with_bodies: list[Operation], ids: dict[str, Any]):
    tried = 0
    for operation in with_bodies:
        example = operation.example()
        for path in leaves(example):
            if path[-1] not in TIMES:
                continue
            for literal in NEVER_A_TIME:
                response = send(api.admin, operation, ids, with_leaf(example, path, literal))
                tried += 1
                problem = refused(response, 422)
                assert problem["errors"][0]["pointer"], f"{operation.name} {path} {literal}"
    assert tried > 20


def test_unknown_fields_and_parameters_are_refused_by_name(api: Api, with_bodies: list[Operation], ids: dict[str, Any]):
    for operation in with_bodies:
        body = {**operation.example(), "is_admin": True}
        refused(send(api.admin, operation, ids, json.dumps(body).encode()), 422)
        response = api.admin.request(
            operation.method, operation.address(ids), params={"lmit": "7f3a"}, json=operation.example()
        )
        refused(response, 422)
        assert "7f3a" not in response.text
    body = {"username": "someone", "password": "a long enough password", "is_admin": True}
    refused(api.anonymous().post("/auth/login", json=body), 422, pointer="/is_admin")
    strange = refused(api.anonymous().post("/auth/login", json={**body, CANARY: 1}), 422)
    assert "7f3a" not in json.dumps(strange)


@pytest.mark.parametrize(
    "query", ["lmit=1", "limit=1_0", "limit=%2010", "limit=1&limit=2", "limit=0", "limit=1e1", "limit=true", "cursor="]
)
def test_queries_are_as_strict_as_bodies(api: Api, query: str):
    for path in ("/users", "/communities"):
        response = api.admin.get(f"{path}?{query}")
        assert response.status_code == 422 or (query == "cursor=" and response.status_code == 200), response.text
        if response.status_code == 422:
            assert refused(response, 422)["errors"][0]["in"] == "query"


@pytest.mark.parametrize("cursor", ["x", "%00", "AAAA", "!!", "z" * 300, "canary7f3a", "w7w", "\u00fc"])
def test_made_up_cursors_are_refused_or_lead_somewhere(api: Api, ids: dict[str, Any], cursor: str):
    for path in ("/users", "/communities", f"/communities/{ids['community_id']}/optimization/results"):
        response = api.admin.get(path, params={"cursor": cursor})
        assert response.status_code in (200, 422)
        assert "7f3a" not in response.text


@pytest.mark.parametrize("path", ["/communities/{}", "/communities/{}/members", "/communities/{}/series"])
@pytest.mark.parametrize(
    "name",
    ["%00", "%ff%fe", "canary%207f3a", "'%20or%201=1--", "..", "%2e%2e", "x" * 2_000, "%F0%9F%98%80", "a%0d%0ab"],
)
def test_hostile_path_parameters_are_not_found_and_not_repeated(api: Api, path: str, name: str):
    response = api.admin.get(path.format(name))
    assert response.status_code in (404, 422)
    assert checked(response, name)["detail"].isascii()
    assert "7f3a" not in response.text
    assert "xxxxxxxx" not in response.text


@pytest.mark.parametrize("value", ["\u00b2", '"\u00b2"', '"-1"', '"' + "9" * 40 + '"', 'W/"1"', '"1", "2"', "\x07", ""])
def test_made_up_etags_fail_the_precondition(api: Api, ids: dict[str, Any], value: str):
    response = api.admin.delete(f"/communities/{ids['community_id']}", headers={b"If-Match": value.encode("latin-1")})
    assert response.status_code in (400, 412), response.text
    assert api.admin.get(f"/communities/{ids['community_id']}").status_code == 200


@pytest.mark.parametrize("key", ["", "\u00fc", "x" * 129])
def test_idempotency_keys_are_short_printable_text(api: Api, key: str):
    body = {"community_id": api.fresh("unmade"), "num_prosumers": 1}
    response = api.admin.post("/communities", json=body, headers={b"Idempotency-Key": key.encode("latin-1")})
    assert checked(response, key)["status"] == 422


# Readings, which have parsers of their own


COLUMN = (
    '{"name": "load_kw", "unit": "kW", "start": "2026-03-01T00:00:00Z", "resolution_minutes": 15, "values": [1.0, null]'
)


@pytest.mark.parametrize(
    "body",
    [
        f'{{"series": [{COLUMN}}}], "series": [{COLUMN}}}]}}',
        f'{{"series": [{COLUMN}, "values": [2.0]}}]}}',
        f'{{"series": [{COLUMN}, "values" : [2.0]}}]}}',
        '{"readings": [{"series": "load_kw", "start": "2026-03-01T00:00:00Z", "value": 1, "value": 2}]}',
    ],
)
def test_a_reading_given_twice_under_one_name_is_not_half_lost(api: Api, ids: dict[str, Any], body: str):
    response = api.admin.post(
        f"/communities/{ids['community_id']}/readings", content=body, headers={"Content-Type": "application/json"}
    )
    assert refused(response, 400)["detail"] == "an object in the body has the same name twice"


@pytest.mark.parametrize(
    "row",
    [
        "load_kw,2026-03-01T00:00:00Z,1_000",
        "load_kw,2026-03-01T00:00:00Z,\uff11\uff12",
        "load_kw,2026-03-01T00:00:00Z,0x10",
        "load_kw,2026-03-01T00:00:00Z,1,5",
        "load_kw,2026-03-01T00:00:00,1",
        "load_kw,2026-03-01T00:00:00Z\x00,1",
        "load_kw,9999-12-31T23:59:59Z,1",
        "load_kw,2026-03-01,1",
        "load_kw",
        "7f3a,2026-03-01T00:00:00Z,1",
        "load_kw\x00,2026-03-01T00:00:00Z,1",
        '"load_kw,2026-03-01T00:00:00Z,1',
        "x" * 200_000,
    ],
)
def test_a_hostile_line_of_csv_is_refused(api: Api, ids: dict[str, Any], row: str):
    response = api.admin.post(
        f"/communities/{ids['community_id']}/readings",
        content=f"series,start,value\n{row}\n".encode(),
        headers={"Content-Type": "text/csv"},
    )
    assert checked(response, row)["status"] == 422
    assert "7f3a" not in response.text
    assert "xxxxxxxx" not in response.text


# HTTP itself


def test_the_wrong_method_names_every_right_one(api: Api):
    for path, allowed in (
        ("/communities", "GET, POST"),
        ("/communities/x", "DELETE, GET, PUT"),
        ("/auth/login", "POST"),
        ("/docs", "GET, HEAD"),
    ):
        for method in ("TRACE", "PATCH", "OPTIONS", "BREW"):
            response = api.anonymous().request(method, path)
            assert checked(response, path)["status"] == 405
            assert response.headers["allow"] == allowed


@pytest.mark.parametrize("accept", ["image/png", "text/html", "application/json;q=0", "text/*", "application/xml, a/b"])
def test_what_cannot_be_answered_as_asked_is_not_acceptable(api: Api, ids: dict[str, Any], accept: str):
    for path in ("/version", "/communities"):
        problem = refused(api.admin.get(path, headers={"Accept": accept}), 406)
        assert problem["detail"] == "ask for application/json"


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/*",
        "text/html, */*;q=0.1",
        "Application/JSON; charset=utf-8",
        "",
        "a/b;q=1, application/json",
    ],
)
def test_what_can_be_answered_is(api: Api, accept: str):
    assert api.anonymous().get("/version", headers={"Accept": accept}).status_code == 200
    assert api.anonymous().get("/metrics", headers={"Accept": "text/plain;version=0.0.4"}).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "x", ""])
def test_other_content_types_are_unsupported(
    api: Api, with_bodies: list[Operation], ids: dict[str, Any], content_type: str
):
    for operation in with_bodies:
        body = json.dumps(operation.example()).encode()
        response = send(api.admin, operation, ids, body, content_type)
        assert checked(response, operation.name)["status"] == 415


async def test_a_body_that_is_too_large_is_refused_declared_or_streamed():
    json_type = {"Content-Type": "application/json"}
    async with asked(Settings(max_body_mib=1, log_level="CRITICAL"), object()) as client:
        declared = await client.post("/auth/login", content=b" " * (2**20 + 1), headers=json_type)
        streamed = await client.post("/auth/login", content=in_chunks(b" " * (2**20 + 1)), headers=json_type)
        lying = await client.post(
            "/auth/login", content=in_chunks(b" " * (2**20 + 1)), headers={**json_type, "Content-Length": "3"}
        )
        fitting = await client.post("/auth/login", content=b" " * 2**20, headers=json_type)
    for response in (declared, streamed, lying):
        assert checked(response, "too large")["status"] == 413
    assert fitting.status_code == 422


async def test_another_host_name_is_refused_as_a_problem():
    settings = Settings(allowed_hosts="twin.example.org,*.valley.example", log_level="CRITICAL")
    async with asked(settings, None) as client:
        for host in ("evil.example", "", "example.org", "valley.example", "twin.example.org.evil.example", "::1"):
            response = await client.get("/health/live", headers={"Host": host})
            assert checked(response, host)["status"] == 400
        for host in ("twin.example.org", "TWIN.example.org:8000", "a.valley.example:443"):
            assert (await client.get("/health/live", headers={"Host": host})).status_code == 200


async def test_a_failure_of_our_own_is_a_problem_that_says_nothing_of_its_cause():
    async with asked(Settings(log_level="CRITICAL"), object()) as client:
        response = await client.get("/version")
    problem = checked(response, "a twin without settings")
    assert problem["status"] == 500
    assert "object" not in response.text
    assert "Traceback" not in response.text


def test_every_answer_carries_the_security_headers(api: Api, ids: dict[str, Any]):
    anonymous = api.anonymous()
    answers = {
        200: anonymous.get("/version"),
        204: api.login(api.register("viewer")).post("/auth/logout"),
        400: post_login(api, NOT_JSON["a name twice"]),
        401: anonymous.get("/communities"),
        403: api.account("viewer").get("/users"),
        404: anonymous.get("/nothing"),
        405: anonymous.delete("/version"),
        406: anonymous.get("/version", headers={"Accept": "image/png"}),
        412: api.admin.delete(f"/communities/{ids['community_id']}", headers={"If-Match": '"9"'}),
        415: anonymous.post("/auth/login", content=b"a=b"),
        422: post_login(api, b"[]"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert dict(answer.headers).items() >= SECURITY_HEADERS.items(), status
        assert answer.headers["x-request-id"]
        if answer.content and status >= 400:
            assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abcdefgh-1234", True), ("short", False), ("x" * 65, False), ('"><script>', False), ("abcdefgh\tijk", False)],
)
def test_a_callers_request_id_is_kept_only_when_it_is_harmless(api: Api, given: str, kept: bool):
    response = api.anonymous().get("/version", headers={"X-Request-Id": given})
    assert (response.headers["x-request-id"] == given) is kept


def test_no_method_of_a_callers_invention_becomes_a_metric(api: Api):
    api.anonymous().request("INVENTED", "/version")
    api.anonymous().request("INVENTED", "/made/up/7f3a")
    text = api.anonymous().get("/metrics").text
    assert "INVENTED" not in text
    assert "7f3a" not in text


# Asking


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 2**16):
        yield body[start : start + 2**16]


def post_login(api: Api, body: bytes) -> httpx.Response:
    return api.anonymous().post("/auth/login", content=body, headers={"Content-Type": "application/json"})


def send(
    client: httpx.Client, operation: Operation, ids: dict[str, Any], body: bytes, content_type: str = "application/json"
) -> httpx.Response:
    return client.request(
        operation.method, operation.address(ids), content=body, headers={"Content-Type": content_type}
    )


def checked(response: httpx.Response, where: str) -> dict[str, Any]:
    """The problem document of a refusal, which has all its parts."""
    assert response.headers["content-type"] == "application/problem+json", f"{where}: {response.text[:300]}"
    assert dict(response.headers).items() >= SECURITY_HEADERS.items(), where
    problem = response.json()
    assert {"type", "title", "status", "detail", "request_id"} <= problem.keys(), where
    assert problem["status"] == response.status_code, where
    for error in problem.get("errors", ()):
        assert {"pointer", "detail"} <= error.keys(), where
    return problem


def leaves(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything in a body that holds nothing itself; of a list, to its first."""
    if isinstance(body, dict) and body:
        for name, value in body.items():
            yield from leaves(value, (*path, name))
    elif isinstance(body, list) and body:
        yield from leaves(body[0], (*path, 0))
    else:
        yield path


def at(body: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        body = body[step]
    return body


def with_leaf(body: Any, path: tuple[Any, ...], literal: str) -> bytes:
    """The body as JSON text in which a literal, valid or not, stands for one leaf."""
    mark = "here-goes-the-literal"
    copy = json.loads(json.dumps(body))
    at(copy, path[:-1])[path[-1]] = mark
    return json.dumps(copy).replace(json.dumps(mark), literal).encode()

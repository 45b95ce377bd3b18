"""What is an access token, and what is none."""

import base64
import json
from typing import Any

import jwt
import pytest
from tests.api.in_memory import SIGNING_KEY, in_memory_api
from tests.api.signing_in import signed_in


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

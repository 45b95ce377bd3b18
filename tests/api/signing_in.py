"""Words for who comes in, with what, and how often at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from tests.api.application import PASSWORD, Api
from tests.api.in_memory import InMemoryApi, in_memory_api

AT_ONCE = 20


class signed_in:  # noqa: N801  reads as a verb
    """An installation in memory and the tokens of its administrator."""

    async def __aenter__(self) -> tuple[InMemoryApi, dict[str, Any]]:
        self._opened = in_memory_api()
        api = await self._opened.__aenter__()
        await api.create_administrator()
        return api, await api.login()

    async def __aexit__(self, *raised: Any) -> None:
        await self._opened.__aexit__(*raised)


def founder(username: str) -> dict[str, Any]:
    return {"username": username, "email": f"{username}@example.org", "password": PASSWORD, "role": "admin"}


def login(api: Api, username: str, password: str = PASSWORD) -> httpx.Response:
    return api.anonymous().post("/auth/login", json={"username": username, "password": password})


def as_bearer(api: Api, tokens: dict[str, Any]) -> httpx.Client:
    return api.anonymous(Authorization=f"Bearer {tokens['access_token']}")


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def at_once(ask: Any, given: list[Any]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(given)) as threads:
        return list(threads.map(ask, given))

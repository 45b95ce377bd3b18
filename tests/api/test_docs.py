"""The interactive documentation works without any other host."""

import re
import secrets

import httpx
from pydantic import SecretStr
from tests.api.application import Api

from digital_twin.api.main import create_app
from digital_twin.bootstrap import Environment, Settings


def test_the_docs_load_everything_from_this_server(api: Api) -> None:
    page = api.anonymous().get("/docs")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    answers = [api.anonymous().get(address) for address in loaded]
    assert page.status_code == 200
    assert len(loaded) == 4
    assert all(address.startswith("/docs/") for address in loaded)
    assert all(answer.status_code == 200 and answer.content for answer in answers)


def test_the_policy_of_the_docs_allows_what_they_load_and_no_inline_script(api: Api) -> None:
    page = api.anonymous().get("/docs")
    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "<script>" not in page.text
    assert "onload" not in page.text


def test_unknown_assets_of_the_docs_are_not_found(api: Api) -> None:
    for name in ("redoc.standalone.js", "..%2f__init__.py", "%2e%2e/core.py"):
        assert api.anonymous().get(f"/docs/assets/{name}").status_code == 404


async def test_production_serves_neither_docs_nor_document() -> None:
    settings = Settings(
        environment=Environment.PRODUCTION,
        secret_key=SecretStr(secrets.token_hex(32)),
        jwt_secret_key=SecretStr(secrets.token_hex(32)),
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(settings)), base_url="http://twin.example.org"
    ) as client:
        for address in ("/docs", "/docs/assets/start.js", "/openapi.json", "/redoc"):
            assert (await client.get(address)).status_code == 404

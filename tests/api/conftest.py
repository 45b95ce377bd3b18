"""One running application for all tests of the HTTP API; each test makes the accounts and communities it needs."""

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from tests.api.application import Api, serve
from tests.api.dispatching import CASE_1_COMMUNITY
from tests.databases import DatabaseServer


@pytest.fixture(scope="session")
def api(embedded_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The running application."""
    with ExitStack() as closing:
        url = closing.enter_context(serve(embedded_server, tmp_path_factory.mktemp("home")))
        yield Api(url, closing)


@pytest.fixture(scope="session")
def admin(api: Api) -> httpx.Client:
    """The administrator."""
    return api.admin


@pytest.fixture(scope="session")
def operator(api: Api) -> httpx.Client:
    """An operator, who owns the communities that they make."""
    return api.account("operator")


@pytest.fixture(scope="session")
def stranger(api: Api) -> httpx.Client:
    """An operator of other communities."""
    return api.account("operator")


@pytest.fixture
def community(api: Api, operator: httpx.Client) -> str:
    """The id of a community of the operator's, made with the guide's eight fields."""
    return api.community(operator)


@pytest.fixture(scope="module")
def village(api: Api, operator: httpx.Client) -> str:
    """The community of case 1."""
    return api.community(operator, **CASE_1_COMMUNITY)

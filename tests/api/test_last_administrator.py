"""Somebody always administers: in an application of their own, where nobody else does."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.api.application import Api, answered, refused, serve
from tests.api.signing_in import at_once
from tests.databases import DatabaseServer


@pytest.fixture(scope="module")
def api(embedded_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """With one administrator."""
    with ExitStack() as closing:
        yield Api(closing.enter_context(serve(embedded_server, tmp_path_factory.mktemp("home"))), closing)


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

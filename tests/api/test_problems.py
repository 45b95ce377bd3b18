"""What an error of the domain becomes in HTTP."""

import json
from typing import Any

from tests.api.application import EIGHT_NUMBERS
from tests.api.in_memory import in_memory_api

from digital_twin.api.problems import twin_problem
from digital_twin.domain.errors import InsufficientData
from digital_twin.optimization.dispatch import PlanRefused
from digital_twin.optimization.tariffs.design import TariffRefused


class TooFewMeters(InsufficientData):
    """As a plug-in may make its own."""


def test_an_answer_that_failed_our_own_check_is_our_fault_and_says_what_to_do():
    for error in (PlanRefused("the plan failed; please report it"), TariffRefused("no prices; please report it")):
        response = twin_problem("request-1", error)
        assert response.status_code == 500
        assert json.loads(bytes(response.body))["detail"] == error.message


def test_a_plug_ins_error_has_the_status_of_what_it_is_made_of():
    assert twin_problem("request-1", TooFewMeters("more meters are needed")).status_code == 409


async def test_a_request_that_ends_before_its_body_is_whole_is_not_our_fault():
    events = iter([{"type": "http.request", "body": b"series,", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(events)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with in_memory_api() as api:
        await api.create_administrator()
        token = (await api.login())["access_token"]
        community = {"community_id": "cut_off", **EIGHT_NUMBERS}
        made = await api.client.post("/communities", json=community, headers={"Authorization": f"Bearer {token}"})
        assert made.status_code == 201
        headers = {"host": "twin.example.org", "authorization": f"Bearer {token}", "content-type": "text/csv"}
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/communities/cut_off/readings",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await api.app(scope, receive, send)
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == [400]

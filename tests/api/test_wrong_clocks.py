"""Devices with wrong clocks over HTTP: each reading that cannot be is named; in lenient mode the others are kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.api.application import answered, refused

LENIENT = {"Prefer": "handling=lenient"}
TRUE = "2026-03-02T00:00:00Z"
FAST = (datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)).isoformat()
WRONG = {
    "1970-01-01T00:00:00Z": "before 2000",
    "2106-02-07T06:15:00Z": "1970..2100",
    "2026-03-02T00:15:03Z": "multiple of 15 minutes",
    FAST: "not over yet",
}


def rows(*starts: str) -> dict[str, Any]:
    return {"readings": [{"series": "load_kw", "start": start, "value": 1.0} for start in starts]}


def columns(*starts: str) -> dict[str, Any]:
    plain = {"name": "load_kw", "unit": "kW", "resolution_minutes": 15, "values": [1.0]}
    return {"series": [{**plain, "start": start} for start in starts]}


@pytest.mark.parametrize("form", [rows, columns])
def test_strictly_nothing_is_stored_and_every_wrong_time_is_named(operator: httpx.Client, community: str, form: Any):
    response = operator.post(f"/communities/{community}/readings", json=form(TRUE, *WRONG))
    problem = refused(response, 422)
    assert problem["rejected_count"] == len(WRONG)
    assert {one["pointer"].split("/")[2] for one in problem["errors"]} == {"1", "2", "3", "4"}
    assert answered(operator.get(f"/communities/{community}/series"))["series"] == []


@pytest.mark.parametrize("form", [rows, columns])
def test_leniently_the_true_ones_are_stored_and_the_others_named_with_why(
    operator: httpx.Client, community: str, form: Any
):
    path = f"/communities/{community}/readings"
    answer = answered(operator.post(path, json=form(TRUE, *WRONG), headers=LENIENT))
    assert (answer["stored"], answer["rejected_count"]) == (1, len(WRONG))
    reasons = {datetime.fromisoformat(one["start"]): one["reason"] for one in answer["rejected"]}
    assert all(words in reasons[datetime.fromisoformat(start)] for start, words in WRONG.items())


def test_a_program_that_sends_only_wrong_times_learns_why(operator: httpx.Client, community: str):
    path = f"/communities/{community}/readings"
    answer = answered(operator.post(path, json=rows(*WRONG), headers=LENIENT))
    assert (answer["received"], answer["rejected_count"]) == (0, len(WRONG))
    text = "series,start,value\n" + "".join(f"load_kw,{start},1\n" for start in WRONG)
    headers = {"Content-Type": "text/csv", **LENIENT}
    answer = answered(operator.post(path, content=text.encode(), headers=headers))
    assert {one["position"] for one in answer["rejected"]} == {"/line 2", "/line 3", "/line 4", "/line 5"}


def test_a_time_that_no_counter_reaches_is_no_time(operator: httpx.Client, community: str):
    response = operator.post(f"/communities/{community}/readings", json=rows("9999-12-31T23:45:00Z"), headers=LENIENT)
    refused(response, 422, pointer="/readings/0/start")

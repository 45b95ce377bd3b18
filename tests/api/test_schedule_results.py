"""Dispatch over HTTP: results that are stored, and plans that are made at once."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.dispatching import CASE_1, CASE_1_COMMUNITY, dispatch

# Results


def test_results_are_paged_newest_first_and_each_once(api: Api, operator: httpx.Client):
    community_id = api.community(operator, **CASE_1_COMMUNITY)
    path = f"/communities/{community_id}/optimization/results"
    made = [dispatch(operator, community_id, CASE_1)["result_id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", "kind": "dispatch"} | ({"cursor": cursor} if cursor else {})
        page = answered(operator.get(path, params=params))
        seen += [one["result_id"] for one in page["results"]]
        assert all(one["kind"] == "dispatch" for one in page["results"])
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_a_stored_result_is_where_the_answer_said(operator: httpx.Client, village: str):
    response = operator.post(f"/communities/{village}/optimization/dispatch", json=CASE_1)
    assert answered(operator.get(response.headers["location"])) == response.json()


def test_a_result_is_found_in_its_own_community_only(
    operator: httpx.Client, stranger: httpx.Client, village: str, community: str
):
    result_id = dispatch(operator, village, CASE_1)["result_id"]
    refused(operator.get(f"/communities/{community}/optimization/results/{result_id}"), 404)
    refused(stranger.get(f"/communities/{village}/optimization/results/{result_id}"), 404)


@pytest.mark.parametrize("result_id", ["1", "00000000-0000-0000-0000-000000000000", "x' or 1=1", "%00"])
def test_a_result_that_never_was_is_not_found(operator: httpx.Client, village: str, result_id: str):
    response = operator.get(f"/communities/{village}/optimization/results/{result_id}")
    assert response.status_code in (404, 422)


@pytest.mark.parametrize("params", [{"kind": "import"}, {"limit": "0"}, {"cursor": "Zm9v"}, {"kinds": "dispatch"}])
def test_a_list_that_cannot_be_is_refused(operator: httpx.Client, village: str, params: dict[str, str]):
    refused(operator.get(f"/communities/{village}/optimization/results", params=params), 422)


def test_a_repeated_request_with_its_key_is_planned_once(api: Api, operator: httpx.Client):
    community_id = api.community(operator, **CASE_1_COMMUNITY)
    path, headers = f"/communities/{community_id}/optimization/dispatch", {"Idempotency-Key": "again"}
    first, second = (operator.post(path, json=CASE_1, headers=headers) for _ in range(2))
    assert answered(second) == answered(first)
    assert second.headers["location"] == first.headers["location"]
    refused(operator.post(path, json={**CASE_1, "current_soc_kwh": 21}, headers=headers), 422)
    results = answered(operator.get(f"/communities/{community_id}/optimization/results"))["results"]
    assert len(results) == 1


# Many at once


def test_of_equal_requests_at_once_with_one_key_one_is_planned(api: Api, operator: httpx.Client):
    community_id = api.community(operator, **CASE_1_COMMUNITY)
    path, headers = f"/communities/{community_id}/optimization/dispatch", {"Idempotency-Key": "at once"}
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: operator.post(path, json=CASE_1, headers=headers), range(6)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    planned = {answer.json()["result_id"] for answer in answers if answer.status_code == 200}
    results = answered(operator.get(f"/communities/{community_id}/optimization/results"))["results"]
    assert planned == {one["result_id"] for one in results}
    assert len(planned) == 1


def test_plans_made_at_once_do_not_mix(operator: httpx.Client, village: str):
    levels = [20, 30, 40, 50, 60, 70]
    alone = [dispatch(operator, village, {**CASE_1, "current_soc_kwh": level})["cost"] for level in levels]
    with ThreadPoolExecutor(6) as threads:
        bodies = [{**CASE_1, "current_soc_kwh": level} for level in levels]
        together = list(threads.map(lambda body: dispatch(operator, village, body)["cost"], bodies))
    assert together == pytest.approx(alone, abs=1e-9)

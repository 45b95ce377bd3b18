"""Runs over HTTP: readings that are kept now and stored by a Run, its progress, its end, and the events it tells."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
from tests.api.application import Api, answered, refused

IN_BACKGROUND = {"Prefer": "respond-async, wait=30"}
MARCH = "2026-03-01T00:00:00Z"


def columns(*names: str, values: list[float | None], **given: Any) -> dict[str, Any]:
    """Quarters of an hour from the first of March on."""
    column = {"unit": "kW", "start": MARCH, "resolution_minutes": 15, "values": values}
    return {"series": [{"name": name, **column} for name in names], **given}


def years(*numbers: int, values: list[float]) -> dict[str, Any]:
    """Three series from the start of each year on: a body of many parts."""
    names = ("load_kw", "pv_kw", "net_load_kw")
    column = {"unit": "kW", "resolution_minutes": 15, "values": values}
    return {
        "series": [{"name": name, **column, "start": f"{year}-01-01T00:00:00Z"} for year in numbers for name in names]
    }


def imported(client: httpx.Client, community: str, body: Any, **headers: str) -> Any:
    """The Run of an import."""
    path = f"/communities/{community}/readings"
    response = client.post(path, json=body, headers={**IN_BACKGROUND, **headers})
    run = answered(response, 202)
    assert response.headers["location"] == f"/runs/{run['run_id']}"
    return run


def stored(client: httpx.Client, community: str, name: str) -> list[float | None]:
    query = {"series": name, "start": MARCH, "end": "2026-03-01T01:00:00Z"}
    [series] = answered(client.get(f"/communities/{community}/readings", params=query))["series"]
    return series["values"]


def test_readings_are_stored_by_a_run_as_they_are_at_once(operator: httpx.Client, community: str):
    body = columns("load_kw", values=[1.5, None, 2.5, -3.0])
    path, lenient = f"/communities/{community}/readings", {"Prefer": "handling=lenient"}
    refused(operator.post(path, json=body, headers=IN_BACKGROUND), 422, pointer="/series/0/values/3")
    run = imported(operator, community, body, Prefer=f"{IN_BACKGROUND['Prefer']}, handling=lenient")
    assert (run["kind"], run["state"], run["progress"]) == ("import", "succeeded", {"done": 1, "total": 1})
    assert run["attempt"] == 1
    became = answered(operator.get(run["links"]["result"]))
    at_once = answered(operator.post(path, json=body, headers=lenient))
    assert became["received"] == became["stored"] == at_once["duplicate"] == 2
    assert became["rejected_count"] == 1
    assert became["rejected"] == at_once["rejected"]
    assert stored(operator, community, "load_kw") == [1.5, None, 2.5, None]


def test_what_cannot_be_stored_is_refused_before_there_is_a_run(operator: httpx.Client, community: str):
    path = f"/communities/{community}/readings"
    imported(operator, community, columns("load_kw", values=[1.0]))
    finer = columns("load_kw", values=[1.0])
    finer["series"][0]["resolution_minutes"] = 5
    refused(operator.post(path, json=finer, headers=IN_BACKGROUND), 422)
    unknown = columns("pv_kw", values=[1.0])
    unknown["series"][0]["member_id"] = "nobody"
    refused(operator.post(path, json=unknown, headers=IN_BACKGROUND), 422)
    assert len(answered(operator.get("/runs", params={"community_id": community}))["runs"]) == 1


def test_a_key_gives_the_same_run_and_fits_one_body(operator: httpx.Client, community: str):
    body = columns("load_kw", values=[1.0])
    first = imported(operator, community, body, **{"Idempotency-Key": "monday"})
    again = imported(operator, community, body, **{"Idempotency-Key": "monday"})
    assert again["run_id"] == first["run_id"]
    other = operator.post(
        f"/communities/{community}/readings",
        json=columns("load_kw", values=[2.0]),
        headers={**IN_BACKGROUND, "Idempotency-Key": "monday"},
    )
    refused(other, 422)


def test_an_import_of_many_parts_loses_and_doubles_nothing(operator: httpx.Client, community: str):
    body = years(2023, 2024, values=[float(place % 7) for place in range(25_000)])
    run = imported(operator, community, body)
    while run["state"] in ("queued", "running"):
        run = answered(operator.get(run["links"]["self"], headers={"Prefer": "wait=20"}))
    assert run["progress"] == {"done": 2, "total": 2}
    became = answered(operator.get(run["links"]["result"]))
    assert (became["received"], became["stored"], became["rejected_count"]) == (150_000, 150_000, 0)


def test_a_cancelled_run_stays_cancelled_and_one_that_has_ended_is_a_conflict(operator: httpx.Client, community: str):
    body = years(*range(2018, 2026), values=[1.0] * 35_000)
    run = answered(
        operator.post(f"/communities/{community}/readings", json=body, headers={"Prefer": "respond-async"}), 202
    )
    ended = answered(operator.delete(run["links"]["self"]))
    assert ended["state"] == "cancelled"
    assert answered(operator.get(run["links"]["self"]))["state"] == "cancelled"
    assert answered(operator.delete(run["links"]["self"]))["state"] == "cancelled"
    done = imported(operator, community, columns("load_kw", values=[1.0]))
    refused(operator.delete(done["links"]["self"]), 409)


def test_runs_are_listed_newest_first_and_page_by_page(operator: httpx.Client, community: str):
    runs = [imported(operator, community, columns("load_kw", values=[float(n)]))["run_id"] for n in range(3)]
    listed: list[str] = []
    query: dict[str, Any] = {"community_id": community, "limit": 2}
    while True:
        page = answered(operator.get("/runs", params=query))
        listed += [run["run_id"] for run in page["runs"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert listed == sorted(runs, reverse=True)
    refused(operator.get("/runs", params={"community_id": community, "cursor": "bm90aGluZw"}), 422)


def test_another_tenants_run_looks_like_one_that_does_not_exist(
    operator: httpx.Client, stranger: httpx.Client, community: str
):
    run = imported(operator, community, columns("load_kw", values=[1.0]))
    for ask in (stranger.get, stranger.delete):
        foreign = refused(ask(run["links"]["self"]), 404)
        missing = refused(ask("/runs/00000000-0000-7000-8000-000000000000"), 404)
        nonsense = refused(ask("/runs/nonsense"), 404)
        assert {foreign["detail"], missing["detail"], nonsense["detail"]} == {foreign["detail"]}
    refused(stranger.get("/runs", params={"community_id": community}), 404)


# Events


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """The events of a stream as they come."""
    event: dict[str, Any] = {}
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name in ("id", "event"):
            event[name] = value
        elif name == "data":
            yield {**event, "data": json.loads(value)}


def test_a_run_tells_how_it_goes(operator: httpx.Client, community: str):
    with operator.stream("GET", f"/communities/{community}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")  # from here on nothing is missed
        run = imported(operator, community, columns("load_kw", values=[1.0]))
    with operator.stream("GET", f"/communities/{community}/events", headers={"Last-Event-ID": "0"}) as stream:
        told: list[dict[str, Any]] = []
        for event in events(stream):
            told.append(event)
            if event["data"]["state"] == "succeeded":
                break
    mine = [event for event in told if event["data"]["run_id"] == run["run_id"]]
    assert [event["data"]["state"] for event in mine] == ["queued", "running", "running", "succeeded"]
    assert {event["event"] for event in mine} == {"run"}
    numbers = [int(event["id"]) for event in mine]
    assert numbers == sorted(set(numbers))
    seen = {"Last-Event-ID": mine[1]["id"]}
    with operator.stream("GET", f"/communities/{community}/events", headers=seen) as stream:
        assert next(events(stream))["id"] == mine[2]["id"]


def test_an_event_is_heard_while_one_listens(operator: httpx.Client, community: str):
    with operator.stream("GET", f"/communities/{community}/events") as stream:
        coming = events(stream)
        run = imported(operator, community, columns("load_kw", values=[1.0]))
        first = next(event for event in coming if event["data"]["run_id"] == run["run_id"])
    assert first["data"]["state"] in ("queued", "running")


def test_a_plan_is_told_of_by_its_result(operator: httpx.Client, community: str):
    body = {"start_time": MARCH, "horizon_hours": 1, "load_kw": [1.0] * 4, "pv_kw": [0.0] * 4}
    plan = answered(operator.post(f"/communities/{community}/optimization/dispatch", json=body))
    with operator.stream("GET", f"/communities/{community}/events", headers={"Last-Event-ID": "0"}) as stream:
        event = next(events(stream))
    assert event["event"] == "schedule"
    assert event["data"]["result_id"] == plan["result_id"]


def test_a_member_hears_nothing_of_runs(api: Api, operator: httpx.Client, community: str):
    answered(operator.post(f"/communities/{community}/members", json={"members": [{"member_id": "home_1"}]}), 201)
    member = api.member_of(community, "viewer", member_id="home_1")
    imported(operator, community, columns("load_kw", values=[1.0]))
    with member.stream("GET", f"/communities/{community}/events", headers={"Last-Event-ID": "0"}) as stream:
        lines = stream.iter_lines()
        for line in lines:
            assert not line.startswith("event: run")
            if line.startswith(":"):  # a sign of life follows what there was to tell
                break
    refused(member.get("/runs", params={"community_id": community}), 403)


def test_a_last_event_id_is_a_number(operator: httpx.Client, community: str):
    for wrong in ("-1", "x", "1" * 30):
        refused(operator.get(f"/communities/{community}/events", headers={"Last-Event-ID": wrong}), 422)

"""Readings over HTTP as CSV, Arrow and Parquet: by Content-Type and Accept, of any size, whole or not at all."""

import io
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet
import pytest
from tests.api.application import Api, answered, refused
from tests.api.in_memory import in_memory_api
from tests.api.readings import MONDAY, add_members, column, counts, send, values_of

ARROW = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"
DAY = {"start": MONDAY, "end": "2026-03-03T00:00:00Z"}
LINE = b"load_kw,2026-03-02T00:00:00Z,1\n"


def post(client: httpx.Client, community: str, content: Any, content_type: str, **headers: str) -> httpx.Response:
    path = f"/communities/{community}/readings"
    return client.post(path, content=content, headers={"Content-Type": content_type, **headers})


def get(client: httpx.Client, community: str, accept: str, **params: str) -> httpx.Response:
    query = {"series": "load_kw", **DAY, **params}
    return client.get(f"/communities/{community}/readings", params=query, headers={"Accept": accept})


def rows(*values: float | None, name: str = "load_kw") -> pa.Table:
    starts = pa.array([1772409600 + 900 * place for place in range(len(values))], pa.timestamp("s", tz="UTC"))
    return pa.table({"series": [name] * len(values), "start": starts, "value": pa.array(values, pa.float64())})


def as_stream(table: pa.Table, make: Any = ipc.new_stream) -> bytes:
    sink = io.BytesIO()
    with make(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(("content_type", "make"), [(ARROW, ipc.new_stream), (ARROW_FILE, ipc.new_file)])
def test_arrow_goes_in(operator: httpx.Client, community: str, content_type: str, make: Any):
    body = as_stream(rows(1.5, None, 41.3), make)
    assert counts(answered(post(operator, community, body, content_type))) == (2, 2, 0, 0, 0, 0)
    assert values_of(operator, community) == [1.5, None, 41.3, None]


@pytest.mark.parametrize("accept", ["text/csv", ARROW, PARQUET])
@pytest.mark.parametrize("params", [{}, {"member_id": "home"}, {"resolution": "15"}])
def test_what_comes_out_goes_in_again_as_nothing_but_duplicates(
    api: Api, operator: httpx.Client, accept: str, params: dict[str, str]
):
    source, target = api.community(operator), api.community(operator)
    for community in (source, target):
        add_members(operator, community, "home")
    told = column([0.1, None, 41.3, 1 / 3], quality=["estimated", "missing", "measured", None])
    first = send(operator, source, told, {**told, "member_id": "home"})
    send(operator, source, column([9, 9, 9, 9]), column([9, 9, 9, 9], member_id="home"))
    answer = get(operator, source, accept, as_of=first["received_at"], **params)
    assert answer.headers["content-type"].partition(";")[0] == accept
    body, content_type = answer.content, accept
    if accept == PARQUET:
        body, content_type = as_stream(parquet.read_table(io.BytesIO(body))), ARROW
    assert counts(answered(post(operator, target, body, content_type))) == (3, 3, 0, 0, 0, 0)
    assert counts(answered(post(operator, target, body, content_type))) == (3, 0, 3, 0, 0, 0)
    query = {"series": "load_kw", **DAY, **params}
    [copied] = answered(operator.get(f"/communities/{target}/readings", params=query))["series"]
    query["as_of"] = first["received_at"]
    [original] = answered(operator.get(f"/communities/{source}/readings", params=query))["series"]
    assert copied == original
    assert original["quality"][:4] == ["estimated", "missing", "measured", "measured"]


def test_the_quality_of_each_value_goes_in_with_rows_and_columns(operator: httpx.Client, community: str):
    send(operator, community, column([1, 2, None], quality=[None, "suspect", "missing"]))
    row = {"series": "load_kw", "start": "2026-03-02T00:45:00Z", "value": 4, "quality": "substituted"}
    answered(operator.post(f"/communities/{community}/readings", json={"readings": [row]}))
    [found] = answered(get(operator, community, "application/json", end="2026-03-02T01:00:00Z"))["series"]
    assert found["quality"] == ["measured", "suspect", "missing", "substituted"]


@pytest.mark.parametrize(
    ("quality", "pointer"),
    [
        (["missing", None], "/series/0/quality/0"),
        (["good", None], "/series/0/quality/0"),
        (["measured"], "/series/0/quality"),
        ([1, None], "/series/0/quality/0"),
    ],
)
def test_a_quality_that_is_none_is_refused(operator: httpx.Client, community: str, quality: Any, pointer: str):
    body = {"series": [column([1, 2], quality=quality)]}
    refused(operator.post(f"/communities/{community}/readings", json=body), 422, pointer=pointer)


# What may be asked and sent


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        (f"text/html, {PARQUET};q=0.4, text/csv;q=0.3", PARQUET),
        (f"application/json;q=0.1, {ARROW}", ARROW),
        ("application/json;q=0, text/*", "text/csv"),
    ],
)
def test_an_answer_has_the_format_that_is_liked_best(
    operator: httpx.Client, community: str, accept: str, content_type: str
):
    send(operator, community, column([1.0]))
    assert get(operator, community, accept).headers["content-type"].partition(";")[0] == content_type


@pytest.mark.parametrize("accept", ["text/html", "text/csv;q=0", ARROW_FILE])
def test_a_format_that_is_not_made_is_406(operator: httpx.Client, community: str, accept: str):
    problem = refused(get(operator, community, accept), 406)
    assert "text/csv" in problem["detail"]


@pytest.mark.parametrize("content_type", [PARQUET, "text/plain", "application/octet-stream"])
def test_a_format_that_is_not_read_is_415(operator: httpx.Client, community: str, content_type: str):
    problem = refused(post(operator, community, as_stream(rows(1.0)), content_type), 415)
    assert ARROW in problem["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_a_packed_body_is_not_unpacked(operator: httpx.Client, community: str, encoding: str):
    body = as_stream(rows(1.0))
    refused(post(operator, community, body, ARROW, **{"Content-Encoding": encoding}), 415)
    answered(post(operator, community, body, ARROW, **{"Content-Encoding": "identity"}))


@pytest.mark.parametrize("accept", ["text/csv", ARROW, PARQUET])
def test_what_is_wrong_with_a_question_is_a_problem_in_every_format(
    operator: httpx.Client, community: str, accept: str
):
    refused(get(operator, community, accept), 404)
    refused(get(operator, community, accept, end=MONDAY), 422, pointer="/end")


def test_imported_history_may_come_in_every_format(operator: httpx.Client, community: str):
    path = f"/communities/{community}/readings?assumed_delay_minutes=60"
    answered(operator.post(path, content=as_stream(rows(1, 2, 3, 4)), headers={"Content-Type": ARROW}))
    assert values_of(operator, community, as_of="2026-03-02T01:30:00Z") == [1, 2, None, None]
    both = {"series": [column([1.0])], "assumed_delay_minutes": 60}
    refused(operator.post(path, json=both), 422, pointer="/assumed_delay_minutes")
    refused(operator.post(path.replace("60", "1_0"), json={"series": [column([1.0])]}), 422)


# Of any size, whole or not at all


def test_more_than_a_body_may_have_goes_in_part_by_part(operator: httpx.Client, community: str):
    lines, parts = 40_000, 8
    days = [f"load_kw,20{20 + part // 4}-{part % 4 + 1:02d}-02T00:00:00Z,1\n".encode() for part in range(parts)]

    def body() -> Iterator[bytes]:
        yield b"series,start,value\n"
        for day in days:
            yield day * lines

    receipt = answered(post(operator, community, body(), "text/csv"))
    assert counts(receipt) == (lines * parts, parts, lines * parts - parts, 0, 0, 0)


def test_a_last_line_that_is_wrong_keeps_all_parts_before_it_out(operator: httpx.Client, community: str):
    good = b"series,start,value\n" + LINE * 300_000
    for last, pointer in ((b"load_kw,2026-03-02T00:15:00Z,x\n", "/line 300002"), (LINE.replace(b",1", b",-1"), None)):
        problem = refused(post(operator, community, good + last, "text/csv"), 422, pointer=pointer)
        assert pointer or problem["errors"][0]["pointer"] == "/line 300002"
    assert answered(operator.get(f"/communities/{community}/series"))["series"] == []


def test_a_file_of_nothing_but_wrong_clocks_is_refused_for_them(operator: httpx.Client, community: str):
    body = b"series,start,value\n" + LINE.replace(b"00:00Z", b"00:07Z") * 2
    problem = refused(post(operator, community, body, "text/csv"), 422)
    assert (problem["rejected_count"], problem["errors"][0]["pointer"]) == (2, "/line 2")
    receipt = answered(post(operator, community, body, "text/csv", Prefer="handling=lenient"))
    assert counts(receipt) == (0, 0, 0, 0, 0, 2)
    assert "no readings" in refused(post(operator, community, b"series,start,value\n", "text/csv"), 422)["detail"]


def test_a_file_of_more_series_than_anyone_has_is_refused(operator: httpx.Client, community: str):
    lines = (f"load_kw,2026-03-02T00:00:00Z,1,h{number}\n" for number in range(100_001))
    body = "series,start,value,member_id\n" + "".join(lines)
    problem = refused(post(operator, community, body.encode(), "text/csv"), 422)
    assert "at most 100000 series" in problem["detail"]


def test_a_file_of_any_size_counts_once_by_its_key(operator: httpx.Client, community: str):
    body, once = b"series,start,value\n" + LINE * 60_000, {"Idempotency-Key": "once"}
    first = answered(post(operator, community, body, "text/csv", **once))
    assert answered(post(operator, community, body, "text/csv", **once)) == {**first, "replayed": True}
    refused(post(operator, community, body + LINE, "text/csv", **once), 422)


def test_a_file_may_be_stored_by_a_run(operator: httpx.Client, community: str):
    prefer = {"Prefer": "respond-async, wait=30"}
    run = answered(post(operator, community, as_stream(rows(1, 2)), ARROW, **prefer), 202)
    assert answered(operator.get(run["links"]["result"]))["stored"] == 2
    refused(post(operator, community, as_stream(rows(1, -2)), ARROW, **prefer), 422, pointer="/row 1")


def test_a_slow_line_holds_nobody_up_and_a_cut_one_stores_nothing(api: Api, operator: httpx.Client, community: str):
    url = httpx.URL(api.url)
    head = (
        f"POST /communities/{community}/readings HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: text/csv\r\n"
        f"Authorization: {operator.headers['Authorization']}\r\nContent-Length: {10 * len(LINE)}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80)) as slow:
        slow.sendall(head.encode() + b"series,start,value\n" + LINE.replace(b"load", b"pv")[:-1])
        assert send(operator, community, column([5.0]))["stored"] == 1
    assert send(operator, community, column([6.0]))["corrected"] == 1
    known = answered(operator.get(f"/communities/{community}/series"))["series"]
    assert [one["name"] for one in known] == ["load_kw"]


async def test_bodies_that_stream_have_a_limit_of_their_own():
    async with in_memory_api(max_body_mib=1, max_streamed_body_mib=2) as api:
        await api.create_administrator()
        headers = {"Authorization": f"Bearer {(await api.login())['access_token']}", "Content-Type": "text/csv"}
        body = b"series,start,value\n" + LINE * (2 * 2**20 // len(LINE))
        for path, size, status in (
            ("/communities/valley/readings", 2**20 + 1, 404),
            ("/communities/valley/readings", 2 * 2**20 + 1, 413),
            ("/communities", 2**20 + 1, 413),
        ):
            answer = await api.client.post(path, content=(body + LINE)[:size], headers=headers)
            assert answer.status_code == status, (path, size, answer.text)
            if status == 413:
                assert f"larger than {1 if path == '/communities' else 2} MiB" in answer.json()["detail"]


@pytest.mark.parametrize("accept", ["text/csv", ARROW, PARQUET])
def test_an_answer_may_be_longer_than_json_gives(operator: httpx.Client, community: str, accept: str):
    for start in ("2006-01-01T00:00:00Z", "2016-02-29T12:00:00Z", "2026-03-01T23:45:00Z"):
        send(operator, community, column([1.0], resolution_minutes=1, start=start))
    span = {"start": "2006-01-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
    refused(get(operator, community, "application/json", **span, resolution="1"), 422, pointer="/end")
    answer = get(operator, community, accept, **span)
    assert answer.status_code == 200
    if accept == ARROW:
        with ipc.open_stream(answer.content) as reader:
            assert reader.read_all().num_rows == 3
    elif accept == PARQUET:
        assert parquet.read_table(io.BytesIO(answer.content)).num_rows == 3
    else:
        assert len(answer.text.splitlines()) == 4

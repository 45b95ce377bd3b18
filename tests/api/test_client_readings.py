"""The Python client takes readings there and back: as JSON or Arrow, tables of pandas, files."""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tests.api.application import Api, answered
from tests.builders import MONDAY, series

from digital_twin.client import ARROW_FROM, Tokens, TwinClient
from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.domain.readings import SeriesValues

LAST_YEAR = MONDAY - timedelta(days=364)
END = LAST_YEAR + timedelta(days=360)


@pytest.fixture
def twin(api: Api, operator: httpx.Client) -> Iterator[TwinClient]:
    token = operator.headers["Authorization"].removeprefix("Bearer ")
    with TwinClient(api.url, tokens=Tokens(token, "")) as client:
        yield client


@pytest.fixture
def homes(operator: httpx.Client, community: str) -> str:
    """A community with two members."""
    members = {"members": [{"member_id": "h1"}, {"member_id": "h2"}]}
    answered(operator.post(f"/communities/{community}/members", json=members), 201)
    return community


def many(member: str, value: float = 41.3) -> SeriesValues:
    """So many readings that they are sent as Arrow, with a gap and a doubtful one."""
    values = np.full(ARROW_FROM, value)
    values[1] = np.nan
    flags = np.zeros(ARROW_FROM, dtype=np.uint8)
    flags[2] = 3
    return replace(series("load_kw", values.tolist(), member=member, start=LAST_YEAR), flags=flags)


def test_many_readings_mean_what_few_mean(twin: TwinClient, homes: str):
    whole = many("h1")
    receipt = twin.record(homes, [whole, series("load_kw", [1.0], member="h2", start=LAST_YEAR)])
    assert (receipt["received"], receipt["stored"]) == (ARROW_FROM, ARROW_FROM)
    first = replace(
        series("load_kw", whole.values[:9].tolist(), member="h1", start=LAST_YEAR),
        flags=whole.flags[:9] if whole.flags is not None else None,
    )
    assert twin.record(homes, [first])["duplicate"] == 8
    end = LAST_YEAR + timedelta(hours=1)
    [column] = twin.readings(homes, ["load_kw"], LAST_YEAR, end, member_id="h1")
    assert column["values"] == [41.3, None, 41.3, 41.3]
    assert column["quality"] == ["measured", "missing", "suspect", "measured"]


@pytest.mark.parametrize("size", [3, ARROW_FROM])
def test_what_is_refused_is_named_whichever_way_it_went(twin: TwinClient, homes: str, size: int):
    values = [1.0, -1.0, *[1.0] * (size - 2)]
    readings = [series("load_kw", values, member="h1", start=LAST_YEAR)]
    with pytest.raises(InvalidInput) as refused:
        twin.record(homes, readings)
    assert refused.value.facts["rejected_count"] == 1
    receipt = twin.record(homes, readings, lenient=True, idempotency_key="k", assumed_delay_minutes=60)
    assert (receipt["stored"], receipt["rejected_count"]) == (size - 1, 1)
    assert receipt["rejected"][0]["start"] == (LAST_YEAR + timedelta(minutes=15)).isoformat().replace("+00:00", "Z")
    assert twin.record(homes, readings, lenient=True, idempotency_key="k", assumed_delay_minutes=60)["replayed"]
    known = LAST_YEAR + timedelta(hours=1, minutes=15)
    [column] = twin.readings(homes, ["load_kw"], LAST_YEAR, known, member_id="h1", as_of=known)
    assert column["values"][0] == 1


def test_a_frame_goes_in_and_comes_out(twin: TwinClient, homes: str):
    starts = pd.date_range("2025-06-01", periods=4, freq="15min", tz="Europe/Vienna")
    frame = pd.DataFrame({"series": "pv_kw", "member_id": "h2", "start": starts, "value": [0.1, 0.2, None, 0.4]})
    assert twin.record_table(homes, frame)["stored"] == 3
    found = twin.readings_table(homes, ["pv_kw"], starts[0], starts[-1] + timedelta(minutes=15), member_id="h2")
    pd.testing.assert_series_equal(
        found.to_pandas().set_index("start")["value"],
        frame.set_index("start")["value"].dropna().tz_convert("UTC"),
        check_freq=False,
        check_index_type=False,
    )
    assert twin.record_table(homes, found)["duplicate"] == 3


def test_frames_may_be_joined_and_filtered_before_they_are_sent(twin: TwinClient, homes: str):
    starts = pd.date_range("2025-06-01", periods=4, freq="15min", tz="UTC")
    frames = [
        pd.DataFrame({"series": "load_kw", "member_id": home, "start": starts, "value": 1.0}) for home in ("h1", "h2")
    ]
    joined = pd.concat(frames)
    assert twin.record_table(homes, joined[joined["start"] > starts[0]])["stored"] == 6
    assert twin.record_table(homes, joined.set_index("start"))["stored"] == 2


def test_a_long_table_is_sent_in_batches(twin: TwinClient, homes: str):
    rows = 250_000
    starts = pa.array([int(LAST_YEAR.timestamp())] * rows, pa.timestamp("s", tz="UTC"))
    table = pa.table({"series": ["load_kw"] * rows, "start": starts, "value": [1.0] * rows})
    receipt = twin.record_table(homes, table)
    assert (receipt["received"], receipt["stored"], receipt["duplicate"]) == (rows, 1, rows - 1)


def test_a_download_is_written_as_it_comes(twin: TwinClient, homes: str):
    twin.record(homes, [many("h1")])
    file = io.BytesIO()
    media_type = "application/vnd.apache.parquet"
    twin.download(homes, ["load_kw"], LAST_YEAR, END, file=file, media_type=media_type, member_id="h1")
    assert parquet.read_table(file).num_rows == ARROW_FROM - 1
    with pytest.raises(NotFound):
        twin.download(homes, ["pv_kw"], LAST_YEAR, END, file=file)


def test_a_request_whose_token_has_expired_is_sent_again_whole(api: Api, operator: httpx.Client, homes: str):
    me = answered(operator.get("/auth/me"))["username"]
    body = {"username": me, "password": "correct horse battery"}
    fresh = answered(api.anonymous().post("/auth/login", json=body))
    told: list[Tokens] = []
    expired = Tokens("x.y.z", fresh["refresh_token"])
    with TwinClient(api.url, tokens=expired, on_refresh=told.append) as twin:
        assert twin.record(homes, [many("h2")])["stored"] == ARROW_FROM - 1
    assert len(told) == 1

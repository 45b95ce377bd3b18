"""The quality of readings over HTTP: gaps and suspicion in full for one, all meters beside each other for all."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, answered, refused

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY = {"start": "2026-03-02T00:00:00Z", "end": "2026-03-03T00:00:00Z"}
QUARTERS = 96


def lively(seed: int, days: int = 1) -> list[float | None]:
    """A home's load that never repeats itself."""
    return np.round(0.2 + np.random.default_rng(seed).gamma(1.5, 0.3, QUARTERS * days), 4).tolist()


def send(client: httpx.Client, community_id: str, values: list[float | None], **given: Any) -> None:
    column = {"name": "load_kw", "unit": "kW", "start": DAY["start"], "resolution_minutes": 15, "values": values}
    answered(client.post(f"/communities/{community_id}/readings", json={"series": [{**column, **given}]}))


def judged(client: httpx.Client, community_id: str, **params: Any) -> Any:
    return answered(client.get(f"/communities/{community_id}/readings/quality", params={**DAY, **params}))


@pytest.fixture
def homes(operator: httpx.Client, community: str) -> str:
    """A community of five homes: two sound, one that hangs, one half silent, one that left at noon, one never heard."""
    names = ("sound_a", "sound_b", "hangs", "half", "left", "mute")
    bodies = [{"member_id": name} | ({"left_at": "2026-03-02T12:00:00Z"} if name == "left" else {}) for name in names]
    answered(operator.post(f"/communities/{community}/members", json={"members": bodies}), 201)
    send(operator, community, lively(1), member_id="sound_a")
    send(operator, community, lively(2), member_id="sound_b")
    send(operator, community, [*lively(3)[:30], *[0.7] * 60, *lively(3)[90:]], member_id="hangs")
    send(operator, community, [*lively(4)[:48], *[None] * 48], member_id="half")
    send(operator, community, lively(5)[:48], member_id="left")
    send(operator, community, lively(6), member_id="mute", start="2026-03-01T00:00:00Z")
    return community


def test_the_worst_meters_come_first_and_page_by_page(operator: httpx.Client, homes: str):
    meters = judged(operator, homes)["meters"]
    assert [one["member_id"] for one in meters["page"]] == ["mute", "hangs", "half", "left", "sound_a", "sound_b"]
    assert (meters["count"], meters["reporting"], meters["silent"], meters["suspect"]) == (6, 5, 1, 1)
    mute, hangs, half, left, sound, _ = meters["page"]
    assert (mute["expected"], mute["missing"], mute["last_reading_end"], mute["data_age_s"]) == (96, 96, None, None)
    assert (hangs["missing"], hangs["suspect"], hangs["reasons"]) == (0, 60, ["stuck"])
    assert (half["missing"], half["last_reading_end"]) == (48, "2026-03-02T12:00:00Z")
    assert (left["expected"], left["missing"]) == (48, 0)
    assert (sound["missing"], sound["suspect"], sound["reasons"]) == (0, 0, [])
    first = judged(operator, homes, limit=4)
    second = judged(operator, homes, limit=4, cursor=first["next"])
    paged = [*first["meters"]["page"], *second["meters"]["page"]]
    assert [one["member_id"] for one in paged] == [one["member_id"] for one in meters["page"]]
    assert second["next"] is None


def test_one_meter_is_judged_in_full(operator: httpx.Client, homes: str):
    answer = judged(operator, homes, member_id="half", series="load_kw")
    assert answer["meters"] is None
    [half] = answer["series"]
    assert (half["completeness"], half["gap_count"], half["expected"]) == (0.5, 1, 96)
    assert half["longest_gap"] == {"start": "2026-03-02T12:00:00Z", "end": "2026-03-03T00:00:00Z", "intervals": 48}
    assert half["gaps"] == [half["longest_gap"]]
    assert half["counts"] == {"measured": 48, "estimated": 0, "substituted": 0, "suspect": 0, "missing": 48}
    assert half["days"] == [{"day": "2026-03-02", "expected": 96, "present": 48, "suspect": 0}]
    age = datetime.fromisoformat(answer["as_of"]) - datetime.fromisoformat(half["last_reading_end"])
    assert half["data_age_s"] == pytest.approx(age.total_seconds())
    [hangs] = judged(operator, homes, member_id="hangs")["series"]
    assert hangs["suspect_count"] == 60
    assert hangs["suspects"] == [
        {"start": "2026-03-02T07:30:00Z", "end": "2026-03-02T22:30:00Z", "intervals": 60, "reason": "stuck"}
    ]


def test_the_communitys_own_series_is_told_beside_its_meters(operator: httpx.Client, homes: str):
    send(operator, homes, [*lively(7)[:40], None, *lively(7)[41:]])
    answer = judged(operator, homes)
    assert [(one["name"], one["member_id"], one["gap_count"]) for one in answer["series"]] == [("load_kw", None, 1)]
    assert answer["meters"]["count"] == 6


def test_days_are_those_of_the_communitys_calendar(api: Api, operator: httpx.Client):
    community = api.community(operator, timezone="Europe/Vienna")
    send(operator, community, lively(1, days=3), start="2026-03-27T23:00:00Z")
    span = {"start": "2026-03-27T23:00:00Z", "end": "2026-03-30T22:00:00Z"}
    [series] = judged(operator, community, **span)["series"]
    assert [(day["day"], day["expected"], day["present"]) for day in series["days"]] == [
        ("2026-03-28", 96, 96),
        ("2026-03-29", 92, 92),
        ("2026-03-30", 96, 96),
    ]
    assert series["gap_count"] == 0


def test_what_was_not_known_yet_is_missing_as_of_then(operator: httpx.Client, homes: str):
    before = judged(operator, homes, member_id="half")
    send(operator, homes, lively(4), member_id="half")
    assert judged(operator, homes, member_id="half")["series"][0]["completeness"] == 1
    then = judged(operator, homes, member_id="half", as_of=before["as_of"])
    assert then["series"] == before["series"]


def test_what_is_not_over_yet_is_not_missing(operator: httpx.Client, community: str):
    now = datetime.now(UTC)
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    send(operator, community, [1.0, 2.0, 3.0, 4.0], start=start.isoformat())
    span = {"start": start.isoformat(), "end": (now + timedelta(days=7)).isoformat()}
    [series] = judged(operator, community, **span)["series"]
    assert 8 <= series["expected"] <= 12
    assert series["counts"]["missing"] == series["expected"] - 4
    problem = refused(
        operator.get(
            f"/communities/{community}/readings/quality",
            params={"start": span["end"], "end": (now + timedelta(days=8)).isoformat()},
        ),
        422,
    )
    assert "past" in problem["detail"]


def test_a_member_sees_their_own_meter_and_no_other(api: Api, homes: str):
    home = api.member_of(homes, "viewer", member_id="half")
    meters = judged(home, homes)["meters"]
    assert [one["member_id"] for one in meters["page"]] == ["half"]
    assert meters["count"] == 1
    assert judged(home, homes, member_id="half")["series"][0]["completeness"] == 0.5
    for other in ("hangs", "nobody"):
        path = f"/communities/{homes}/readings/quality"
        refused(home.get(path, params={**DAY, "member_id": other}), 403)


def test_what_is_not_there_is_said(operator: httpx.Client, homes: str):
    path = f"/communities/{homes}/readings/quality"
    refused(operator.get(path, params={**DAY, "series": "pv_kw"}), 404)
    refused(operator.get(path, params={**DAY, "member_id": "nobody"}), 404)
    refused(operator.get(path, params={**DAY, "cursor": "?"}), 422)
    refused(operator.get(path, params={"start": DAY["end"], "end": DAY["start"]}), 422)
    refused(operator.get(path, params={"start": "2000-01-01T00:00:00Z", "end": DAY["end"]} | {"limit": "0"}), 422)
    assert "shorter" in refused(operator.get(path, params={**DAY, "start": "1970-01-01T00:00:00Z"}), 422)["detail"]

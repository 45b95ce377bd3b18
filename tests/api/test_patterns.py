"""Load patterns over HTTP: homes in named groups, what they seem to have, unusual days; to a member only their own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, answered, refused

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
DAYS = 42
AS_OF = (START + timedelta(days=DAYS)).isoformat()
HOURS = np.arange(24 * DAYS) % 24
EVENING = 0.3 + 1.5 * np.exp(-(((HOURS - 19) / 1.5) ** 2))
NIGHT = 0.3 + 3.0 * (HOURS < 5)
SOLAR = 0.6 - 2.5 * np.exp(-(((HOURS - 12.5) / 2) ** 2))


def column(values: Any, name: str, **given: Any) -> dict[str, Any]:
    told = {"unit": "kW", "start": START.isoformat(), "resolution_minutes": 60, "values": np.round(values, 4).tolist()}
    return {"name": name, **told, **given}


def asked(client: httpx.Client, community: str, **params: Any) -> httpx.Response:
    return client.get(f"/communities/{community}/forecasting/patterns", params={"as_of": AS_OF, "days": DAYS, **params})


@pytest.fixture(scope="module")
def homes(api: Api, operator: httpx.Client) -> str:
    """Four homes of each of three kinds, a home with too few days, and one that is silent."""
    community = api.community(operator, timezone="UTC")
    generator = np.random.default_rng(1)
    kinds = {"evening": EVENING, "night": NIGHT, "solar": SOLAR}
    names = [f"{kind}_{number}" for kind in kinds for number in range(4)]
    members = [{"member_id": name} for name in [*names, "short", "silent"]]
    answered(operator.post(f"/communities/{community}/members", json={"members": members}), 201)
    columns = [
        column(
            kinds[name.partition("_")[0]] * generator.uniform(0.8, 1.2) + 0.05 * generator.standard_normal(HOURS.size),
            "net_load_kw",
            member_id=name,
        )
        for name in names
    ]
    columns += [column(EVENING[: 24 * 5], "load_kw", member_id="short")]
    answered(operator.post(f"/communities/{community}/readings", json={"series": columns, "assumed_delay_minutes": 0}))
    return community


def test_homes_are_told_in_groups_with_names_and_what_they_seem_to_have(operator: httpx.Client, homes: str):
    answer = answered(asked(operator, homes))
    members = answer["members"]
    assert (members["count"], members["with_pattern"]) == (13, 12)
    assert {(one["name"], one["count"]) for one in members["groups"]["groups"]} == {
        ("evening peak", 4),
        ("night heating", 4),
        ("midday solar dip", 4),
    }
    assert members["groups"]["stability"] > 0.9
    by_id = {one["member_id"]: one for one in members["page"]}
    assert by_id["short"]["pattern"] is None
    assert by_id["short"]["series"] == "load_kw"
    assert by_id["solar_1"]["pattern"]["devices"]["pv"]["probability"] > 0.9
    assert by_id["evening_1"]["pattern"]["devices"]["pv"]["probability"] < 0.1
    assert members["expected"]["pv"] == pytest.approx(4, abs=0.5)
    assert answer["own"]["series"] == "net_load_kw"
    assert "outdoor temperature" in answer["provenance"]["notes"][0]
    assert answer["start"] == "2026-01-05T00:00:00Z"
    assert answer["end"] == "2026-02-16T00:00:00Z"


def test_members_come_page_by_page(operator: httpx.Client, homes: str):
    first = answered(asked(operator, homes, limit=8))
    second = answered(asked(operator, homes, limit=8, cursor=first["next"]))
    everyone = answered(asked(operator, homes))["members"]["page"]
    assert [*first["members"]["page"], *second["members"]["page"]] == everyone
    assert second["next"] is None


def test_a_changed_day_of_one_home_is_told_in_words(operator: httpx.Client, homes: str):
    doubled = np.array(EVENING[:24])
    doubled[2:10] = 2.0
    day = START + timedelta(days=30)
    body = {"series": [column(doubled, "net_load_kw", member_id="evening_0", start=day.isoformat())]}
    answered(operator.post(f"/communities/{homes}/readings", json=body))
    answer = answered(asked(operator, homes, member_id="evening_0", as_of=datetime.now(UTC).isoformat(), days=400))
    assert answer["members"] is None
    [unusual] = answer["own"]["unusual"]
    assert unusual["day"] == "2026-02-04"
    assert unusual["because"].endswith("times the usual level from 02:00 to 10:00")
    assert len(unusual["kw"]) == len(unusual["usual_kw"]) == 24


def test_a_member_sees_their_own_patterns_alone(api: Api, operator: httpx.Client, homes: str):
    home = api.member_of(homes, "viewer", member_id="night_0")
    answer = answered(asked(home, homes))
    assert answer["members"] is None
    assert answer["own"] == answered(asked(operator, homes, member_id="night_0"))["own"]
    refused(asked(home, homes, member_id="night_1"), 403)


def test_what_cannot_be_told_is_said(api: Api, operator: httpx.Client, homes: str):
    assert "found 5" in refused(asked(operator, homes, member_id="short"), 409)["detail"]
    refused(asked(operator, homes, member_id="silent"), 404)
    refused(asked(operator, homes, days=3), 422)
    refused(asked(operator, api.community(operator)), 404)


def test_devices_are_looked_for_in_what_is_used_where_generation_is_known(api: Api, operator: httpx.Client):
    community = api.community(operator, timezone="UTC")
    members = [{"member_id": name} for name in ("net_alone", "with_pv", "with_load", "load_alone")]
    answered(operator.post(f"/communities/{community}/members", json={"members": members}), 201)
    load = EVENING + 0.05 * np.random.default_rng(2).standard_normal(HOURS.size)
    pv = 4.0 * np.exp(-(((HOURS - 12.5) / 2) ** 2))
    columns = [column(load - pv, "net_load_kw", member_id=name) for name in ("net_alone", "with_pv", "with_load")]
    columns += [column(load, "load_kw", member_id=name) for name in ("with_load", "load_alone")]
    columns += [column(pv, "pv_kw", member_id="with_pv")]
    answered(operator.post(f"/communities/{community}/readings", json={"series": columns, "assumed_delay_minutes": 0}))
    answer = answered(asked(operator, community))
    devices = {one["member_id"]: one["pattern"]["devices"] for one in answer["members"]["page"]}
    by_load = devices["load_alone"]["heat_pump"]["probability"]
    assert devices["with_load"]["heat_pump"]["probability"] == pytest.approx(by_load, abs=1e-3)
    assert devices["with_pv"]["heat_pump"]["probability"] == pytest.approx(by_load, abs=1e-2)  # rounded readings
    assert devices["with_pv"]["pv"] == devices["with_load"]["pv"] == devices["net_alone"]["pv"]
    assert "of 2 homes devices were looked for in what is used, not in the net" in answer["provenance"]["notes"]


def test_the_communitys_own_series_is_told_without_members(api: Api, operator: httpx.Client):
    community = api.community(operator, timezone="UTC")
    cold = np.repeat(np.random.default_rng(2).uniform(-5, 20, DAYS), 24)
    heated = EVENING + 0.1 * np.maximum(15 - cold, 0)
    body = {"assumed_delay_minutes": 0, "series": [column(heated, "load_kw"), column(cold, "temperature_c", unit="C")]}
    answered(operator.post(f"/communities/{community}/readings", json=body))
    answer = answered(asked(operator, community))
    assert answer["members"]["count"] == 0
    assert answer["own"]["pattern"]["cold"]["kw_per_c"] == pytest.approx(0.1, abs=0.005)
    assert answer["own"]["pattern"]["cold"]["bend_c"] == 15

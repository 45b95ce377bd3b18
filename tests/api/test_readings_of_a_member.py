"""A member's own view of readings over HTTP is closed to neighbours."""

import httpx
import pytest
from tests.api.application import Api, answered, refused
from tests.api.readings import HOUR, add_members, column, send, values_of


@pytest.fixture(scope="module")
def street(api: Api, operator: httpx.Client) -> str:
    """Six homes; from the third quarter on only four of them report."""
    community_id = api.community(operator)
    path = f"/communities/{community_id}"
    homes = [f"home_{number}" for number in range(1, 7)]
    add_members(operator, community_id, *homes)
    owners = {"battery_1": "home_1", "battery_2": "home_2", "shared_battery": None}
    device = {"kind": "battery", "capacity_kwh": 10.0, "power_kw": 5.0}
    assets = [{"asset_id": name, "member_id": owner, "device": device} for name, owner in owners.items()]
    answered(operator.post(f"{path}/assets", json={"assets": assets}), 201)
    loads = [column([1, 1, 1, 1] if number < 4 else [1, 1], member_id=home) for number, home in enumerate(homes)]
    soc = {"name": "storage_soc_kwh", "unit": "kWh", "kind": "instant"}
    by_asset = [column([5.0], **soc, asset_id=name) for name in owners]
    send(operator, community_id, *loads, *by_asset, column([5.0], **soc, member_id="home_2", asset_id="battery_2"))
    return community_id


@pytest.fixture(scope="module")
def resident(api: Api, street: str) -> httpx.Client:
    """The one who lives in home 1."""
    return api.member_of(street, "viewer", member_id="home_1")


def test_a_member_reads_their_own_series_and_assets(resident: httpx.Client, street: str):
    assert values_of(resident, street, member_id="home_1") == [1, 1, 1, 1]
    assert values_of(resident, street, "storage_soc_kwh", asset_id="battery_1")[0] == 5
    assert values_of(resident, street, "storage_soc_kwh", asset_id="shared_battery")[0] == 5


@pytest.mark.parametrize(
    "params",
    [
        {"member_id": "home_2"},
        {"series": "storage_soc_kwh", "asset_id": "battery_2"},
        {"series": "storage_soc_kwh", "asset_id": "battery_2", "member_id": "home_2"},
        {"series": "storage_soc_kwh", "asset_id": "battery_2", "member_id": "home_1"},
        {"member_id": "nobody"},
        {"series": "storage_soc_kwh", "asset_id": "nothing"},
    ],
)
def test_a_member_reads_nothing_of_a_neighbour_however_it_is_asked_for(
    resident: httpx.Client, street: str, params: dict[str, str]
):
    query = {"series": "load_kw", **HOUR, **params}
    for accept in ("application/json", "text/csv"):
        response = resident.get(f"/communities/{street}/readings", params=query, headers={"Accept": accept})
        refused(response, 403)


def test_a_member_sees_sums_over_five_homes_or_more_at_every_resolution(resident: httpx.Client, street: str):
    assert values_of(resident, street) == [6, 6, None, None]
    assert values_of(resident, street, resolution="30") == [6, None]
    assert values_of(resident, street, resolution="60") == [None]
    assert values_of(resident, street, resolution="5") == [6] * 6 + [None] * 6
    csv_answer = resident.get(
        f"/communities/{street}/readings", params={"series": "load_kw", **HOUR}, headers={"Accept": "text/csv"}
    )
    assert len(csv_answer.text.splitlines()) == 3


def test_the_list_of_series_shows_a_member_no_neighbour(operator: httpx.Client, resident: httpx.Client, street: str):
    path = f"/communities/{street}/series"
    seen = answered(resident.get(path))["series"]
    assert {(one["member_id"], one["asset_id"]) for one in seen} == {
        ("home_1", None),
        (None, "battery_1"),
        (None, "shared_battery"),
    }
    assert len(answered(operator.get(path))["series"]) == 10


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "members"),
        ("GET", "assets"),
        ("GET", "memberships"),
        ("GET", "forecasting/models"),
        ("POST", "forecasting/generate"),
        ("POST", "optimization/dispatch"),
        ("GET", "optimization/results"),
        ("POST", "readings"),
    ],
)
def test_a_members_view_opens_nothing_else(resident: httpx.Client, street: str, method: str, path: str):
    refused(resident.request(method, f"/communities/{street}/{path}"), 403)

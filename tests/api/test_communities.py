"""Communities over HTTP: made, listed, changed with and without a precondition, deleted; members, assets, sharing."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.api.application import EIGHT_NUMBERS, Api, answered, refused

VIENNA = {
    "name": "Grätzl 5",
    "timezone": "Europe/Vienna",
    "currency": "EUR",
    "latitude": 48.2,
    "longitude": 16.37,
    "emission_factor_kg_per_kwh": 0.1,
    "charge_efficiency": 0.9,
    "discharge_efficiency": 0.8,
    "tariff": {
        "import_price": {
            "kind": "time_of_use",
            "default_per_kwh": 0.22,
            "windows": [{"per_kwh": 0.38, "start_hour": 17.0, "end_hour": 21.0, "weekdays": [0, 4]}],
        },
        "export_price": {"kind": "dynamic", "markup_per_kwh": -0.01, "multiplier": 0.9},
        "capacity_charge": {"per_kw": 5.0, "period": "month", "peak_so_far_kw": 40.0},
    },
}


# One community


def test_everything_that_is_given_is_given_back(api: Api, operator: httpx.Client):
    body = {"community_id": api.fresh("whole"), **EIGHT_NUMBERS, **VIENNA}
    created = operator.post("/communities", json=body)
    document = answered(created, 201)
    assert {name: document[name] for name in body} == body
    assert created.headers["location"] == f"/communities/{body['community_id']}"
    fetched = operator.get(created.headers["location"])
    assert answered(fetched) == document
    assert fetched.headers["etag"] == created.headers["etag"]


def test_what_was_read_may_be_written_back_with_one_number_changed(api: Api, operator: httpx.Client):
    community = api.community(operator, **VIENNA)
    path = f"/communities/{community}"
    answered(operator.put(f"{path}/sharing", json={"rule": "dynamic", "sharing_price_per_kwh": 0.1}))
    read = operator.get(path)
    changed = answered(read) | {"num_prosumers": 7}
    assert answered(operator.put(path, json=changed, headers={"If-Match": read.headers["etag"]})) == changed
    for name, value in (("sharing", {"rule": "none"}), ("created_at", "2026-01-01T00:00:00Z")):
        problem = refused(operator.put(path, json=changed | {name: value}), 422)
        assert name in problem["detail"]
        assert "as it was read" in problem["detail"]
    assert answered(operator.get(path)) == changed
    answered(operator.put(f"{path}/sharing", json={"rule": "none"}))
    refused(operator.put(path, json=changed, headers={"If-Match": read.headers["etag"]}), 412)
    refused(operator.post("/communities", json=changed | {"community_id": api.fresh("copy")}), 422)


def test_an_id_is_taken_once(api: Api, operator: httpx.Client, stranger: httpx.Client, community: str):
    refused(stranger.post("/communities", json={"community_id": community, **EIGHT_NUMBERS}), 409)
    assert answered(operator.get(f"/communities/{community}"))["community_id"] == community


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_prosumers", 0),
        ("num_prosumers", 10_001),
        ("num_prosumers", 100.0),
        ("num_prosumers", "100"),
        ("num_prosumers", True),
        ("total_pv_capacity_kw", -1),
        ("total_pv_capacity_kw", 1e300),
        ("total_storage_capacity_kwh", None),
        ("community_id", "a b"),
        ("community_id", ""),
        ("community_id", "a" * 65),
        ("community_id", "green_village\n"),
        ("latitude", 90.1),
        ("charge_efficiency", 0),
        ("currency", "euro"),
    ],
)
def test_a_field_out_of_bounds_is_named(api: Api, operator: httpx.Client, field: str, value: Any):
    body = {"community_id": api.fresh("bad"), **EIGHT_NUMBERS, field: value}
    refused(operator.post("/communities", json=body), 422, pointer=f"/{field}")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "Europe", "", "/etc/localtime", "Europe/Vienna "])
def test_a_time_zone_must_be_one(api: Api, operator: httpx.Client, zone: str):
    body = {"community_id": api.fresh("zone"), **EIGHT_NUMBERS, "timezone": zone}
    refused(operator.post("/communities", json=body), 422)


def test_an_unknown_field_is_refused_rather_than_dropped(api: Api, operator: httpx.Client):
    body = {"community_id": api.fresh("typo"), **EIGHT_NUMBERS, "timezon": "UTC"}
    refused(operator.post("/communities", json=body), 422, pointer="/timezon")


def test_a_change_raises_the_version_and_keeps_the_sharing_rule(operator: httpx.Client, community: str):
    path = f"/communities/{community}"
    answered(operator.put(f"{path}/sharing", json={"rule": "dynamic", "network_charge_per_kwh": 0.05}))
    before = operator.get(path)
    changed = operator.put(path, json={"community_id": community, **EIGHT_NUMBERS, "num_prosumers": 7})
    document = answered(changed)
    assert document["num_prosumers"] == 7
    assert document["sharing"] == before.json()["sharing"]
    assert changed.headers["etag"] != before.headers["etag"]
    assert answered(operator.get(path)) == document


def test_a_change_of_the_id_is_refused(operator: httpx.Client, community: str):
    other = operator.put(f"/communities/{community}", json={"community_id": "other", **EIGHT_NUMBERS})
    refused(other, 422, pointer="/community_id")


def test_a_precondition_that_fails_changes_nothing(operator: httpx.Client, community: str):
    path = f"/communities/{community}"
    seen = operator.get(path).headers["etag"]
    body = {"community_id": community, **EIGHT_NUMBERS, "num_prosumers": 8}
    answered(operator.put(path, json=body, headers={"If-Match": seen}))
    late = {**body, "num_prosumers": 9}
    refused(operator.put(path, json=late, headers={"If-Match": seen}), 412)
    refused(operator.put(f"{path}/sharing", json={"rule": "none"}, headers={"If-Match": seen}), 412)
    refused(operator.delete(path, headers={"If-Match": seen}), 412)
    now = answered(operator.get(path))
    assert (now["num_prosumers"], now["sharing"]["rule"]) == (8, "single_meter")


@pytest.mark.parametrize("etag", ['"0"', '"999999999999999999999"', "W/x", '"one"', "", '"1", "2"'])
def test_an_etag_that_names_no_current_version_changes_nothing(operator: httpx.Client, community: str, etag: str):
    path = f"/communities/{community}"
    body = {"community_id": community, **EIGHT_NUMBERS, "num_prosumers": 9}
    refused(operator.put(path, json=body, headers={"If-Match": etag}), 412)
    refused(operator.delete(path, headers={"If-Match": etag}), 412)
    assert answered(operator.get(path))["num_prosumers"] == 100


def test_of_changes_at_once_with_one_etag_one_holds(operator: httpx.Client, community: str):
    path = f"/communities/{community}"
    seen = {"If-Match": operator.get(path).headers["etag"]}
    bodies = [{"community_id": community, **EIGHT_NUMBERS, "num_prosumers": number} for number in range(1, 7)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda body: operator.put(path, json=body, headers=seen), bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412, 412]
    [held] = [answer.json() for answer in answers if answer.status_code == 200]
    assert answered(operator.get(path)) == held


def test_of_equal_communities_at_once_one_is_made(api: Api, operator: httpx.Client):
    body = {"community_id": api.fresh("race"), **EIGHT_NUMBERS}
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: operator.post("/communities", json=body), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


def test_a_change_of_numbers_and_one_of_the_sharing_rule_at_once_both_hold_or_one_says_so(
    operator: httpx.Client, community: str
):
    path = f"/communities/{community}"

    def change(number: int) -> httpx.Response:
        if number % 2:
            return operator.put(f"{path}/sharing", json={"rule": "dynamic"})
        return operator.put(path, json={"community_id": community, **EIGHT_NUMBERS, "num_prosumers": 7})

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(change, range(6)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    now = answered(operator.get(path))
    held = [number % 2 for number, answer in enumerate(answers) if answer.status_code == 200]
    assert (now["sharing"]["rule"] == "dynamic") == (1 in held)
    assert (now["num_prosumers"] == 7) == (0 in held)


def test_any_version_matches_a_star(operator: httpx.Client, community: str):
    body = {"community_id": community, **EIGHT_NUMBERS, "num_prosumers": 9}
    answered(operator.put(f"/communities/{community}", json=body, headers={"If-Match": "*"}))


def test_a_deleted_community_takes_everything_with_it(operator: httpx.Client, community: str):
    path = f"/communities/{community}"
    answered(operator.post(f"{path}/members", json={"members": [{"member_id": "home"}]}), 201)
    column = {"name": "load_kw", "unit": "kW", "start": "2026-03-02T00:00:00Z", "resolution_minutes": 15}
    answered(operator.post(f"{path}/readings", json={"series": [{**column, "values": [1.0]}]}))
    plan = answered(operator.post(f"{path}/optimization/dispatch", json={"horizon_hours": 1}))
    answered(operator.delete(path, headers={"If-Match": operator.get(path).headers["etag"]}), 204)
    refused(operator.get(path), 404)
    refused(operator.get(f"{path}/optimization/results/{plan['result_id']}"), 404)
    answered(operator.post("/communities", json={"community_id": community, **EIGHT_NUMBERS}), 201)
    assert answered(operator.get(f"{path}/members"))["members"] == []
    assert answered(operator.get(f"{path}/series"))["series"] == []
    assert answered(operator.get(f"{path}/optimization/results"))["results"] == []


# Lists


def test_pages_of_communities_give_each_once_in_order(api: Api):
    owner = api.account("operator")
    made = sorted(api.community(owner, community_id=api.fresh(name)) for name in ("b", "A", "c", "_d", "-e"))
    pages = _pages(owner, limit=2)
    assert [one for page in pages for one in page] == made
    assert all(len(page) == 2 for page in pages[:-1])


def test_a_key_of_one_community_among_many_finds_it_on_the_first_page(api: Api):
    owner = api.account("operator")
    made = sorted(api.community(owner) for _ in range(4))
    key = api.key(owner, [made[-1]], "community:read")
    assert _pages(key, limit=1)[0] == [made[-1]]
    assert [one for page in _pages(key, limit=1) for one in page] == [made[-1]]
    both = api.key(owner, [made[0], made[-1]], "community:read")
    assert [one for page in _pages(both, limit=1) for one in page] == [made[0], made[-1]]


def test_a_key_of_an_administrator_lists_the_communities_that_it_may_read(
    api: Api, admin: httpx.Client, community: str
):
    key = api.key(admin, [community], "community:read")
    answered(key.get(f"/communities/{community}"))
    assert [one for page in _pages(key, limit=1) for one in page] == [community]


def test_another_operators_community_is_not_there(api: Api, stranger: httpx.Client, community: str):
    path = f"/communities/{community}"
    assert community not in [one for page in _pages(stranger, limit=1000) for one in page]
    unknown = refused(stranger.get("/communities/nobody_made_this"), 404)
    theirs = refused(stranger.get(path), 404)
    assert theirs["detail"].replace(community, "") == unknown["detail"].replace("nobody_made_this", "")
    refused(stranger.put(path, json={"community_id": community, **EIGHT_NUMBERS}), 404)
    refused(stranger.delete(path), 404)


@pytest.mark.parametrize("cursor", ["!", "AA", "w", "_-8"])
def test_a_cursor_of_ones_own_making_is_refused_or_harmless(operator: httpx.Client, cursor: str):
    response = operator.get("/communities", params={"cursor": cursor})
    assert response.status_code in (200, 422)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "1e2"])
def test_the_size_of_a_page_is_bounded(operator: httpx.Client, limit: str):
    refused(operator.get("/communities", params={"limit": limit}), 422, pointer="/limit")


def _pages(client: httpx.Client, *, limit: int) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        page = answered(client.get("/communities", params=params))
        pages.append([one["community_id"] for one in page["communities"]])
        cursor = page["next"]
        if cursor is None:
            return pages


# Members, assets, sharing


def test_members_are_added_in_bulk_and_replaced_by_id(operator: httpx.Client, community: str):
    path = f"/communities/{community}/members"
    homes = [{"member_id": f"home_{number}"} for number in range(300)]
    assert answered(operator.post(path, json={"members": homes}), 201) == {"received": 300, "created": 300}
    changed = {
        "member_id": "home_7",
        "name": "Seven",
        "joined_at": "2026-03-01T00:00:00+01:00",
        "left_at": "2026-09-01T00:00:00Z",
        "sharing_coefficient": 0.25,
    }
    again = [changed, {"member_id": "home_new"}]
    assert answered(operator.post(path, json={"members": again}), 201) == {"received": 2, "created": 1}
    found = {one["member_id"]: one for one in answered(operator.get(path))["members"]}
    assert len(found) == 301
    assert found["home_7"] == {**changed, "joined_at": "2026-02-28T23:00:00Z"}
    refused(operator.post(path, json={"members": [{"member_id": "twin"}, {"member_id": "twin"}]}), 422)


def test_a_member_cannot_leave_before_joining(operator: httpx.Client, community: str):
    member = {"member_id": "home", "joined_at": "2026-03-02T00:00:00Z", "left_at": "2026-03-02T00:00:00Z"}
    refused(operator.post(f"/communities/{community}/members", json={"members": [member]}), 422)


def test_every_kind_of_asset_is_given_back(operator: httpx.Client, community: str):
    path = f"/communities/{community}"
    answered(operator.post(f"{path}/members", json={"members": [{"member_id": "home"}]}), 201)
    devices: list[dict[str, Any]] = [
        {"kind": "pv", "capacity_kw": 5.0, "tilt_degrees": 10.0, "azimuth_degrees": 90.0},
        {
            "kind": "battery",
            "capacity_kwh": 10.0,
            "power_kw": 5.0,
            "charge_efficiency": 0.9,
            "discharge_efficiency": 0.91,
        },
        {"kind": "ev_charger", "power_kw": 11.0, "minimum_power_kw": 4.14},
        {
            "kind": "heat_pump",
            "electric_power_kw": 3.0,
            "heat_capacity_kwh_per_c": 5.0,
            "heat_loss_kw_per_c": 0.2,
            "nominal_cop": 3.5,
        },
        {"kind": "fuse", "limit_kw": 24.0},
    ]
    assets = [{"asset_id": f"a_{device['kind']}", "member_id": "home", "device": device} for device in devices]
    assets.append({"asset_id": "z_common", "member_id": None, "device": {"kind": "fuse", "limit_kw": 100.0}})
    answered(operator.post(f"{path}/assets", json={"assets": assets}), 201)
    found = answered(operator.get(f"{path}/assets"))["assets"]
    assert found == sorted(assets, key=lambda one: one["asset_id"])


def test_an_asset_of_nobody_is_refused_and_none_of_its_batch_is_kept(operator: httpx.Client, community: str):
    path = f"/communities/{community}/assets"
    fuse = {"kind": "fuse", "limit_kw": 24.0}
    batch = [{"asset_id": "good", "device": fuse}, {"asset_id": "bad", "member_id": "nobody", "device": fuse}]
    refused(operator.post(path, json={"assets": batch}), 404)
    assert answered(operator.get(path))["assets"] == []


def test_a_device_of_no_kind_is_refused(operator: httpx.Client, community: str):
    asset = {"asset_id": "a", "device": {"kind": "reactor", "capacity_kw": 1.0}}
    refused(operator.post(f"/communities/{community}/assets", json={"assets": [asset]}), 422)


def test_a_sharing_rule_is_set_with_its_prices(operator: httpx.Client, community: str):
    path = f"/communities/{community}"
    premium = {"base_per_mwh": 80.0, "cap_per_mwh": 120.0, "regional_per_mwh": 10.0, "refund_per_mwh": 0.0}
    rule = {
        "rule": "hybrid",
        "settlement_minutes": 60,
        "sharing_price_per_kwh": 0.1,
        "network_charge_per_kwh": 0.05,
        "premium": premium,
    }
    assert answered(operator.put(f"{path}/sharing", json=rule))["sharing"] == rule
    assert answered(operator.get(path))["sharing"] == rule


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({"rule": "communism"}, "/rule"),
        ({"rule": "dynamic", "settlement_minutes": 45}, "/settlement_minutes"),
        ({"rule": "dynamic", "network_charge_per_kwh": -0.1}, "/network_charge_per_kwh"),
        ({"rule": "dynamic", "premium": {"base_per_mwh": 1e9}}, "/premium/base_per_mwh"),
    ],
)
def test_a_sharing_rule_that_cannot_be_is_refused(operator: httpx.Client, community: str, rule: Any, pointer: str):
    refused(operator.put(f"/communities/{community}/sharing", json=rule), 422, pointer=pointer)

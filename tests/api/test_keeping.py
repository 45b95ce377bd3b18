"""Retention and erasure over HTTP."""

import httpx
from tests.api.application import Api, answered, refused

QUARTERS = "2026-03-02T00:00:00Z"


def homes(count: int) -> list[str]:
    return [f"home_{number}" for number in range(count)]


def fill(operator: httpx.Client, community: str, count: int = 6) -> None:
    """One quarter-hour of each home."""
    answered(
        operator.post(
            f"/communities/{community}/members", json={"members": [{"member_id": one} for one in homes(count)]}
        ),
        201,
    )
    rows = [{"series": "load_kw", "start": QUARTERS, "value": 2.0, "member_id": one} for one in homes(count)]
    answered(operator.post(f"/communities/{community}/readings", json={"readings": rows}))


def test_everything_is_kept_until_somebody_says_otherwise(operator: httpx.Client, community: str):
    address = f"/communities/{community}/retention"
    assert answered(operator.get(address)) == {"readings_days": None, "journal_days": None}
    assert answered(operator.put(address, json={"readings_days": 400})) == {"readings_days": 400, "journal_days": None}
    assert answered(operator.get(address)) == {"readings_days": 400, "journal_days": None}
    assert answered(operator.put(address, json={})) == {"readings_days": None, "journal_days": None}
    refused(operator.put(address, json={"readings_days": 0}), 422, pointer="/readings_days")


def test_an_erased_member_is_gone_and_their_part_in_the_sum_stays(operator: httpx.Client, community: str):
    fill(operator, community)
    answer = answered(operator.delete(f"/communities/{community}/members/home_0"))
    assert answer == {"member_id": "home_0", "series": 1, "days": 1, "assets": 0, "memberships": 0, "documents": 0}
    members = answered(operator.get(f"/communities/{community}/members"))["members"]
    assert [one["member_id"] for one in members] == homes(6)[1:]
    span = {"start": QUARTERS, "end": "2026-03-02T00:15:00Z", "series": "load_kw"}
    total = answered(operator.get(f"/communities/{community}/readings", params=span))["series"][0]
    assert (total["values"], total["reporting"]) == ([12.0], [6])
    own = operator.get(f"/communities/{community}/readings", params={**span, "member_id": "home_0"})
    refused(own, 404)
    refused(operator.delete(f"/communities/{community}/members/home_0"), 404)


def test_who_could_see_the_member_can_no_more(api: Api, operator: httpx.Client, community: str):
    fill(operator, community)
    home = api.member_of(community, "viewer", member_id="home_1")
    answered(home.get(f"/communities/{community}"))
    assert answered(operator.delete(f"/communities/{community}/members/home_1"))["memberships"] == 1
    refused(home.get(f"/communities/{community}"), 404)

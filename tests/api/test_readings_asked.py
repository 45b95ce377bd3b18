"""Questions about readings over HTTP: spans, resolutions, and sums of the community."""

from datetime import datetime, timedelta

import httpx
import numpy as np
import pytest
from tests.api.application import refused
from tests.api.readings import HOUR, MONDAY, add_members, column, counts, read, send, values_of


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"series": "load_kw"}, 422),
        ({"series": "load_kw", **HOUR, "end": MONDAY}, 422),
        ({"series": "load_kw", **HOUR, "end": "2026-03-01T00:00:00Z"}, 422),
        ({"series": "load_kw", "start": "1970-01-01T00:00:00Z", "end": "2099-12-31T00:00:00Z"}, 422),
        ({"series": "", **HOUR}, 422),
        ({"series": ",", **HOUR}, 422),
        ({"series": "load", **HOUR}, 422),
        ({"series": "pv_kw", **HOUR}, 404),
        ({"series": "load_kw,pv_kw", **HOUR}, 404),
        ({"series": "load_kw", **HOUR, "member_id": "nobody"}, 404),
        ({"series": "load_kw", **HOUR, "asset_id": "nothing"}, 404),
        ({"series": "load_kw", **HOUR, "resolution": "7"}, 422),
        ({"series": "load_kw", **HOUR, "as_of": "2026-03-02"}, 422),
        ({"series": "load_kw", **HOUR, "unit": "kW"}, 422),
    ],
)
def test_a_question_without_an_answer_says_why(
    operator: httpx.Client, community: str, params: dict[str, str], status: int
):
    send(operator, community, column([1.0]))
    refused(operator.get(f"/communities/{community}/readings", params=params), status)


def test_spans_off_the_grid_are_answered_by_the_intervals_that_they_touch(operator: httpx.Client, community: str):
    send(operator, community, column([1, 2, 3, 4]))
    [found] = read(operator, community, start="2026-03-02T00:20:00Z", end="2026-03-02T00:31:00Z")
    assert (found["start"], found["values"]) == ("2026-03-02T00:15:00Z", [2, 3])


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [("15", [1, 2, 3, None]), ("30", [1.5, None]), ("60", [None]), ("5", [1] * 3 + [2] * 3 + [3] * 3 + [None] * 3)],
)
def test_another_resolution_averages_powers_and_invents_nothing(
    operator: httpx.Client, community: str, resolution: str, expected: list[float | None]
):
    send(operator, community, column([1, 2, 3, None]))
    [found] = read(operator, community, resolution=resolution)
    assert found["values"] == expected
    assert found["resolution_minutes"] == int(resolution)


def test_a_state_of_charge_is_taken_at_the_start_and_energies_are_summed(operator: httpx.Client, community: str):
    add_members(operator, community, "home")
    send(operator, community, column([1, 2, 3, 4], "storage_soc_kwh", unit="kWh", kind="instant"))
    send(operator, community, column([1, 2, 3, 4], "heat_kwh", unit="kWh", kind="energy", member_id="home"))
    assert values_of(operator, community, "storage_soc_kwh", resolution="30") == [1, 3]
    assert values_of(operator, community, "heat_kwh", resolution="30", member_id="home") == [3, 7]


def test_weeks_of_minutes_come_back(operator: httpx.Client, community: str):
    values = (np.arange(35_136) % 1000).astype(float).tolist()
    column_of_minutes = column(values, "load_kw", resolution_minutes=1)
    assert counts(send(operator, community, column_of_minutes)) == (35_136, 35_136, 0, 0, 0, 0)
    end = (datetime.fromisoformat(MONDAY) + timedelta(minutes=35_136)).isoformat()
    assert values_of(operator, community, end=end) == values


@pytest.mark.parametrize("params", [{"resolution": "1"}, {}])
def test_an_answer_has_a_largest_size_whatever_makes_it_large(
    operator: httpx.Client, community: str, params: dict[str, str]
):
    minutes = 15 if params else 1
    send(operator, community, *(column([1.0], name, resolution_minutes=minutes) for name in ("load_kw", "pv_kw")))
    query = {"series": "load_kw,pv_kw", "start": MONDAY, "end": "2027-03-02T00:00:00Z", **params}
    refused(operator.get(f"/communities/{community}/readings", params=query), 422, pointer="/end")
    query["end"] = "2026-03-09T00:00:00Z"
    assert {len(one["values"]) for one in read(operator, community, **query)} == {7 * 1440}


def test_a_sum_counts_each_member_while_it_is_one_and_says_how_many_took_part(operator: httpx.Client, community: str):
    add_members(
        operator,
        community,
        "always",
        {"member_id": "joins", "joined_at": "2026-03-02T00:30:00Z"},
        {"member_id": "leaves", "left_at": "2026-03-02T00:45:00Z"},
        "silent",
    )
    for member, values in (("always", [1, 1, 1, None]), ("joins", [10] * 4), ("leaves", [100] * 4)):
        send(operator, community, column(values, member_id=member))
    [found] = read(operator, community)
    assert found["values"] == [101, 101, 111, 10]
    assert found["reporting"] == [2, 2, 3, 1]
    assert found["members"] == [3, 3, 4, 3]
    [coarse] = read(operator, community, resolution="30")
    assert (coarse["values"], coarse["reporting"], coarse["members"]) == ([101, 60.5], [2, 1], [3, 4])
    [fine] = read(operator, community, resolution="5")
    assert fine["reporting"] == [2] * 6 + [3] * 3 + [1] * 3


def test_a_series_of_the_community_wins_over_the_sum(operator: httpx.Client, community: str):
    add_members(operator, community, "home")
    send(operator, community, column([1] * 4, member_id="home"))
    send(operator, community, column([50] * 4))
    [found] = read(operator, community)
    assert (found["values"], found["reporting"]) == ([50] * 4, None)


def test_a_sum_of_the_past_is_that_of_the_past(operator: httpx.Client, community: str):
    add_members(operator, community, "a", "b")
    first = send(operator, community, column([1] * 4, member_id="a"))
    send(operator, community, column([2] * 4, member_id="b"), column([5], member_id="a"))
    assert values_of(operator, community) == [7, 3, 3, 3]
    [past] = read(operator, community, as_of=first["received_at"])
    assert (past["values"], past["reporting"]) == ([1] * 4, [1] * 4)

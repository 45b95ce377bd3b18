"""The Patterns page: its pictures, tables and sentences."""

from typing import Any

import pytest
from tests.dashboard import documents

from digital_twin.dashboard.charts import patterns as charts
from digital_twin.dashboard.findings import patterns as findings


def test_a_course_is_drawn_to_the_end_of_its_last_hour_and_told_apart_by_dashes() -> None:
    spec: Any = charts.day_chart({charts.WORKDAYS: list(range(24)), charts.DAYS_OFF: [1.0] * 24}, "kW").to_dict()
    [rows] = spec["datasets"].values()
    workday = [row["value"] for row in rows if row["series"] == charts.WORKDAYS]
    assert workday == [*range(24), 23]
    assert [row["hour"] for row in rows if row["series"] == charts.DAYS_OFF] == list(range(25))
    dashes = spec["encoding"]["strokeDash"]["scale"]["range"]
    assert len({tuple(one) for one in dashes}) == 2


def test_homes_most_surely_with_a_device_come_first_and_those_without_a_pattern_not_at_all() -> None:
    table = charts.homes_table(documents.patterns()["members"])
    assert table["Home"].tolist() == ["home_2", "home_1"]
    assert table["EV"].tolist() == ["90 %", "20 %"]


def test_a_table_of_groups_has_a_row_for_each_hour_and_a_column_for_each_course() -> None:
    same = {"name": "flat base load", "count": 3, "workday": [1.0] * 24, "day_off": [1.0] * 24}
    table = charts.groups_table([documents.day_group("evening peak", 2), same], "days")
    assert table.shape == (24, 1 + 2 + 1)


def test_groups_are_told_with_how_firm_they_are() -> None:
    groups = documents.patterns()["members"]["groups"]
    told = findings.groups_finding(groups, "homes")
    assert told == (
        "2 kinds of homes: evening peak (1) and night heating (1). They are firm: 92 % alike when found again in part "
        "of the homes."
    )
    assert "pass into each other" in findings.groups_finding({**groups, "stability": 0.3}, "homes")
    assert findings.groups_finding({"groups": []}, "homes") == "No homes have enough readings with few gaps yet."


@pytest.mark.parametrize(
    ("probability", "told"), [(0.9, "It seems to have an EV (90 %)."), (0.2, "Neither heat pump nor EV nor PV shows.")]
)
def test_one_meter_is_told_with_what_it_seems_to_have_and_its_answer_to_cold(probability: float, told: str) -> None:
    sentence = findings.meter_finding(documents.meter_pattern(ev=probability))
    assert sentence.startswith("Typical is an evening peak, 0.50 kW in the mean and 30 % of it always on.")
    assert told in sentence
    assert sentence.endswith("Below 15 °C each degree asks for 0.08 kW more.")


def test_the_farthest_unusual_day_is_told() -> None:
    own = documents.patterns()["own"]
    assert findings.unusual_finding(own["unusual"], 2) == (
        "1 of 2 days is unlike others of the kind; most of all Mon 02 Mar: no evening peak."
    )
    assert findings.unusual_finding([], 2) == "Each of 2 days was much like others of its kind."


def test_what_homes_have_is_counted_by_probability() -> None:
    told = findings.devices_finding(documents.patterns()["members"])
    assert told.startswith("Of 2 homes with enough readings, about 0 with a heat pump, 1 with an EV and 0 with PV.")

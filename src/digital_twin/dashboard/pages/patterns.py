"""What is typical: kinds of homes and of days, what homes seem to have, and days unlike others."""

from datetime import date

import streamlit as st

from digital_twin.dashboard.charts import patterns as charts
from digital_twin.dashboard.findings import patterns as findings
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import Small, asked, heading, numbers, plain, provenance, small_multiples
from digital_twin.dashboard.visit import Visit

MOST_UNUSUAL = 6
MOST_HOMES = 1_000


def show(visit: Visit) -> None:
    """The page."""
    heading(visit, "Patterns", "what is typical, and what is not?")
    days = st.segmented_control("Looked at", [28, 56, 182], default=56, format_func="{} days".format, required=True)
    with st.spinner("Looking for patterns…"):
        found = asked(visit, "patterns", visit.client.patterns, days=days, limit=MOST_HOMES)
    if found["members"] is not None and found["members"]["count"]:
        _homes(found["members"])
    if found["own"] is not None:
        _days(found["own"], of_one=found["members"] is None)
    provenance(found)


def _homes(members: Document) -> None:
    groups = members["groups"]["groups"]
    small_multiples(
        "Kinds of homes",
        findings.groups_finding(members["groups"], "homes"),
        [_group_picture(one, "homes") for one in groups],
        charts.groups_table(groups, "homes"),
    )
    if not members["with_pattern"]:
        return
    st.subheader("What homes seem to have", anchor=False)
    st.markdown(plain(findings.devices_finding(members)))
    for column, (name, shown) in zip(st.columns(len(charts.DEVICES)), charts.DEVICES.items(), strict=True):
        column.metric(shown, f"{members['expected'][name]:.0f} of {members['with_pattern']}")
    numbers("What homes seem to have", charts.homes_table(members))


def _days(own: Document, *, of_one: bool) -> None:
    pattern, groups, unusual = own["pattern"], own["kinds"]["groups"], own["unusual"]
    courses = {charts.WORKDAYS: pattern["workday_kw"], charts.DAYS_OFF: pattern["day_off_kw"]}
    if of_one:
        typical = {"name": pattern["shape"], "count": pattern["days"], "workday": pattern["workday_kw"]}
        small_multiples(
            "Your typical day",
            findings.meter_finding(pattern),
            [(pattern["shape"].capitalize(), charts.day_chart(courses, "kW"))],
            charts.groups_table([{**typical, "day_off": pattern["day_off_kw"]}], "days"),
        )
    small_multiples(
        "Kinds of days",
        findings.groups_finding(own["kinds"], "days"),
        [_group_picture(one, "days") for one in groups],
        charts.groups_table(groups, "days"),
    )
    small_multiples(
        "Unusual days",
        findings.unusual_finding(unusual, len(own["days"])),
        [_unusual_picture(one) for one in unusual[:MOST_UNUSUAL]],
        charts.unusual_table(unusual),
    )


def _group_picture(group: Document, counted: str) -> Small:
    caption = f"{group['name'].capitalize()}: {group['count']} {counted if group['count'] != 1 else counted[:-1]}"
    return caption, charts.day_chart(charts.courses_of(group), "x mean")


def _unusual_picture(one: Document) -> Small:
    caption = f"{date.fromisoformat(one['day']):%a %d %b}: {one['because']}"
    return caption, charts.day_chart({charts.THAT_DAY: one["kw"], charts.USUAL: one["usual_kw"]}, "kW")

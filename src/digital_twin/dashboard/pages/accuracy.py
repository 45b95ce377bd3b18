"""How good the last days' forecasts were: the part of the Forecast page that looks back."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import streamlit as st

from digital_twin.dashboard.charts import accuracy as charts
from digital_twin.dashboard.findings import accuracy as findings
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import asked, picture, plain
from digital_twin.dashboard.visit import Visit
from digital_twin.domain.time import local_date, local_midnight

JUDGED_DAYS, SHOWN_DAYS = 14, 7
"""Whole days; the day that it is comes on top, as far as it is over."""


def look_back(visit: Visit, labels: Mapping[str, str]) -> None:
    """The section; `labels` are the variables that may be chosen, with their names on screen."""
    st.header("How good were the last days?", anchor=False)
    today = local_date(datetime.now(UTC), visit.zone_name)
    tomorrow = local_midnight(today + timedelta(days=1), visit.zone_name)
    start = local_midnight(today - timedelta(days=JUDGED_DAYS), visit.zone_name)
    judged = asked(visit, "accuracy", visit.client.forecast_accuracy, start=start, end=tomorrow)["variables"]
    variables = [one for one in labels if one in judged]
    if not variables:
        st.info(plain(findings.first_issue_sentence(tomorrow, visit.zone)), icon=":material/hourglass_empty:")
        return
    variable = st.segmented_control(
        "Looked back on", variables, default=variables[0], format_func=labels.__getitem__, required=True
    )
    _drift(visit, variable)
    _issued(visit, variable, labels[variable])
    _judged(variable, judged[variable])


def _judged(variable: str, accuracy: Document) -> None:
    skill = findings.skill_finding(accuracy, variable, JUDGED_DAYS)
    if not accuracy["days"]:
        st.markdown(plain(skill))
        return
    left, right = st.columns([3, 2])
    with left:
        picture(
            "Skill by day",
            skill,
            charts.skill_chart(accuracy["by_day"]),
            charts.skill_table(accuracy["by_day"]),
            description="Bars by day: the share of the seasonal naive's loss that was saved; below 0 more was lost.",
        )
    with right:
        picture(
            "Do intervals hold?",
            findings.calibration_finding(accuracy),
            charts.calibration_chart(accuracy),
            charts.calibration_table(accuracy),
            description="For each interval a stroke at the share that it promises to hold and a dot at what it held.",
        )


def _drift(visit: Visit, variable: str) -> None:
    drift = asked(visit, "models", visit.client.models)["drift"].get(variable)
    told = None if drift is None else findings.drift_sentence(drift, variable, visit.zone)
    if told is not None:
        st.warning(plain(told), icon=":material/trending_down:")


def _issued(visit: Visit, variable: str, label: str) -> None:
    today = local_date(datetime.now(UTC), visit.zone_name)
    start, end = (local_midnight(today + timedelta(days=days), visit.zone_name) for days in (-SHOWN_DAYS, 1))
    issued = asked(visit, "issued", visit.client.issued_forecasts, start=start, end=end, variable=variable)["forecasts"]
    finding = findings.issued_finding(charts.issued_frame(issued, visit.zone), variable)
    if not issued:
        st.markdown(plain(finding))
        return
    picture(
        "What was forecast each midnight",
        finding,
        charts.issued_chart(issued, visit.zone, label=label),
        charts.issued_table(issued, visit.zone),
        description=f"Bands of {label} in kW as forecast at each midnight, and a black line of what happened.",
    )

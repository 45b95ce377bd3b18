"""What is happening: the state of the community, how sure it is, how it came about and how it is expected to go on."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import streamlit as st

from digital_twin.dashboard.charts import states as charts
from digital_twin.dashboard.charts.meters import meters_to_look_at
from digital_twin.dashboard.charts.quality import troubled_meters
from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.findings import states as findings
from digital_twin.dashboard.findings.meters import conditions_finding, help_sentence
from digital_twin.dashboard.findings.quality import meters_finding
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import asked, heading, numbers, picture, plain, provenance, told_problems
from digital_twin.dashboard.visit import Visit
from digital_twin.domain.errors import NotAllowed
from digital_twin.domain.time import floor_to_step

REFRESH_S = 30
SPANS_H = (24, 48)
WORST_METERS = 20


def show(visit: Visit) -> None:
    """The page; what it shows is asked for again every half minute."""
    heading(visit, "Now", "what is happening, and how sure is that?")
    hours = st.segmented_control("Show the last", SPANS_H, default=24, format_func="{} hours".format, required=True)

    @st.fragment(run_every=REFRESH_S)
    def live() -> None:
        with told_problems():
            _show_state(visit, timedelta(hours=hours or SPANS_H[0]))

    live()
    with told_problems():
        _meters(visit, hours or SPANS_H[0])


def _show_state(visit: Visit, span: timedelta) -> None:
    state = visit.client.state(visit.community_id)
    now = datetime.now(UTC)
    history = visit.client.state_history(visit.community_id, now - span, now)
    prediction = visit.client.state_prediction(visit.community_id, int(span / timedelta(hours=2)))
    _figures(visit, state)
    _flow(visit, state, history)
    _course(visit, state, history, prediction)
    provenance(state)


def _course(visit: Visit, state: Document, history: Document, prediction: Document) -> None:
    """How it came about, as far as readings tell, and how it is expected to go on."""
    frame = charts.history_frame(history, visit.zone)
    if not len(frame["demand_kw"].dropna()):
        st.info(
            "No reading fell into this time, so there is no history to draw, only what is expected. "
            "Send readings, or import a meter file with: digital-twin import",
            icon=":material/upload_file:",
        )
    expected = findings.prediction_finding(prediction, visit.zone)
    picture(
        "The last hours and the next", f"{findings.history_finding(history)} {expected}",
        charts.power_chart(history, prediction, visit.zone), charts.course_table(history, prediction, visit.zone),
        description="Lines of demand, PV and net demand in kW over time, each with a band that holds 95 %; behind an "
        "upright line those that are expected, with wider bands.",
    )  # fmt: skip
    capacity_kwh = visit.community["total_storage_capacity_kwh"]
    if capacity_kwh:
        picture(
            "Stored energy", findings.stored_finding(state, capacity_kwh),
            charts.stored_chart(history, prediction, capacity_kwh, visit.zone),
            charts.course_table(history, prediction, visit.zone, (charts.STORED,)),
            description="Line of the stored energy in kWh over time with its band, under the line of the capacity; "
            "behind an upright line as it is expected.",
        )  # fmt: skip


def _meters(visit: Visit, hours: int) -> None:
    """Which meters cannot be relied on; asked again when a quarter of an hour is over, for there may be thousands."""
    end = floor_to_step(datetime.now(UTC), 15)
    quality = asked(
        visit, "quality", visit.client.quality, start=end - timedelta(hours=hours), end=end, limit=WORST_METERS
    )
    meters = quality["meters"]
    if not meters["count"]:
        return
    st.subheader("Meters", anchor=False)
    st.markdown(plain(meters_finding(meters, hours)))
    with suppress(NotAllowed):  # of single homes those who live there are told nothing
        _conditions(visit)
    troubled = troubled_meters(meters, visit.zone)
    if len(troubled):
        numbers("the worst meters", troubled)


def _conditions(visit: Visit) -> None:
    """What meters do now, and which of them the twin misses most."""
    meters = asked(visit, "meters", visit.client.state_meters, limit=WORST_METERS)
    st.markdown(plain(conditions_finding(meters)))
    if (told := help_sentence(meters)) is not None:
        st.markdown(plain(told))
    table = meters_to_look_at(meters, visit.zone)
    if len(table):
        numbers("meters that need a look", table)


def _figures(visit: Visit, state: Document) -> None:
    shown = [("Demand", "demand_kw", "kW"), ("PV", "pv_kw", "kW"), ("Net demand", "net_load_kw", "kW")]
    if visit.community["total_storage_capacity_kwh"]:
        shown.append(("Stored energy", "storage_soc_kwh", "kWh"))
    for place, (label, name, unit) in zip(st.columns(len(shown)), shown, strict=True):
        value, band = findings.estimate(state, name, unit)
        place.metric(label, value, band, delta_color="off", delta_arrow="off", border=True)


def _flow(visit: Visit, state: Document, history: Document) -> None:
    picture_side, words = st.columns([3, 2], vertical_alignment="center")
    flow = charts.flow_of(state, history, visit.community)
    if flow is not None:
        with picture_side:
            st.image(charts.flow_picture(flow), alt=findings.flow_sentence(flow), width=440)
    with words:
        if flow is not None:
            st.markdown(plain(findings.flow_sentence(flow)))
            st.markdown(plain(findings.own_supply_sentence(flow)))
        coverage = state.get("coverage")
        st.progress(min(1.0, max(0.0, coverage or 0.0)), text=plain(findings.coverage_sentence(coverage)))
        if (unmetered := findings.unmetered_sentence(state)) is not None:
            st.markdown(plain(unmetered))
        age = plain(findings.age_sentence(state.get("data_age_s")))
        if findings.is_stale(state):
            st.warning(age, icon=":material/schedule:")
        else:
            st.markdown(age)
        if findings.is_inconsistent(state):
            st.warning(plain(findings.consistency_sentence(state)), icon=":material/straighten:")
        else:
            st.caption(plain(findings.consistency_sentence(state)))
        if state.get("as_of"):
            st.caption(f"As of {local_text(parsed(state['as_of']), visit.zone)}")

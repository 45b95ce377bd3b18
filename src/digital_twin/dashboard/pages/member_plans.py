"""The part of the Dispatch page that tells of members: who charges when, and a member's own plan."""

import streamlit as st

from digital_twin.dashboard.charts import member_plans as charts
from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.findings import member_plans as findings
from digital_twin.dashboard.frames import Document, hourly
from digital_twin.dashboard.layout import newest_results, numbers, picture, plain, provenance
from digital_twin.dashboard.pages.trade_offs import show_reasons
from digital_twin.dashboard.runs import runs_of, tell_newest
from digital_twin.dashboard.visit import Visit
from digital_twin.dashboard.wording import money
from digital_twin.domain.errors import NotFound

KIND = "member_dispatch"


def show_members(visit: Visit) -> None:
    """Every member's own storage: planned, and how it comes out."""
    st.header("Every member's own storage", anchor=False)
    if visit.may_run:
        _planner(visit)
        tell_newest(visit, runs_of(visit, KIND), "Planning for members")
    found = newest_results(visit, KIND)
    if not found:
        st.info("No plan for members yet. It needs registered batteries.", icon=":material/groups:")
        return
    titles = {one["result_id"]: local_text(parsed(one["start"]), visit.zone) for one in found}
    chosen = st.selectbox("Shown plan for members", list(titles), format_func=titles.__getitem__)
    plan = visit.client.result(visit.community_id, str(chosen))
    _of_all(visit, plan)
    _of_one(visit, plan["result_id"])
    provenance(plan)


def show_own(visit: Visit, member_id: str) -> None:
    """What a member who looks may see: their own plan."""
    try:
        plan = visit.client.member_plans.of(visit.community_id, member_id)
    except NotFound:
        st.info("There is no plan for you yet.", icon=":material/bolt:")
        return
    _own(visit, plan)


def _planner(visit: Visit) -> None:
    with st.form("member_planner", border=False):
        ahead, button = st.columns([3, 2], vertical_alignment="bottom")
        hours = ahead.selectbox("Ahead", [12, 24, 48], index=1, format_func="{} hours".format)
        wanted = button.form_submit_button("Plan for members", width="stretch")
    if wanted:
        with st.spinner("Planning…"):
            visit.client.dispatch(visit.community_id, level="member", horizon_hours=hours)


def _of_all(visit: Visit, plan: Document) -> None:
    zone = visit.zone
    cost, saved, members, worse = st.columns(4)
    cost.metric("Cost", money(plan["cost"], visit.currency), border=True)
    saved.metric("Saved against own rules", money(plan["savings"]["saved"], visit.currency), border=True)
    members.metric("Members", f"{plan['members']:,}", border=True)
    worse.metric("Pay more than before", f"{plan['fairness']['worse_off_members']:,}", border=True)
    table = charts.activity_table(plan, zone)
    picture(
        "Who charges when", findings.activity_finding(charts.members_frame(plan, zone), plan["members"], zone),
        charts.activity_chart(plan, zone), table, description="Lines of how many members charge and discharge.",
    )  # fmt: skip
    limits = visit.community["grid_import_limit_kw"], visit.community["grid_export_limit_kw"]
    picture(
        "The sum against the limits", findings.connection_finding(plan), charts.connection_chart(plan, limits, zone),
        table, description="Lines of the power from the grid, by this plan and by everyone's own rule.",
    )  # fmt: skip
    st.subheader("Who saves what", anchor=False)
    st.markdown(plain(findings.savings_sentence(plan, visit.currency)))
    numbers("Who saves what", charts.savings_frame(plan).round(2))
    st.subheader("What holds it back", anchor=False)
    show_reasons(visit, plan, [])
    st.caption(findings.certificate_sentence(plan))


def _of_one(visit: Visit, result_id: str) -> None:
    member_id = st.text_input("One member's plan", placeholder="member_id")
    if member_id:
        _own(visit, visit.client.member_plans.of(visit.community_id, member_id, result_id=result_id))


def _own(visit: Visit, plan: Document) -> None:
    frame = charts.own_frame(plan, visit.zone)
    picture(
        f"The plan of {plan['member_id']}", findings.own_finding(plan, visit.currency),
        charts.own_chart(plan, visit.zone), hourly(frame, {**charts.OWN, "soc_kwh": "Stored kWh"}),
        description="Lines of demand, PV and what the storage does, in kW.",
    )  # fmt: skip

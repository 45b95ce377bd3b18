"""What to do: the plan for storage, curtailment and the grid, what it saves, and what holds it back."""

import streamlit as st

from digital_twin.dashboard.charts import schedules as charts
from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.findings import schedules as findings
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import heading, newest_results, only_looking, picture, provenance
from digital_twin.dashboard.pages.earnings import show_earnings
from digital_twin.dashboard.pages.member_plans import show_members, show_own
from digital_twin.dashboard.pages.trade_offs import show_in_force, show_reasons, show_trade_off
from digital_twin.dashboard.visit import Visit
from digital_twin.dashboard.wording import money, name_of, percent, quantity

OBJECTIVES = (
    "minimize_cost", "maximize_welfare", "minimize_emissions", "minimize_peak", "maximize_self_consumption",
)  # fmt: skip


def show(visit: Visit) -> None:
    """The page."""
    heading(visit, "Dispatch", "what should storage and grid connection do, and what does it save?")
    if visit.member_id is not None:
        show_own(visit, visit.member_id)
        return
    _of_community(visit)
    show_earnings(visit)
    show_members(visit)


def _of_community(visit: Visit) -> None:
    if visit.may_run:
        _planner(visit)
    else:
        only_looking("plan")
    schedule = _chosen(visit)
    if schedule is None:
        st.info("There is no plan yet. An operator makes one with “Make a plan”.", icon=":material/bolt:")
        return
    _figures(visit, schedule)
    show_in_force(visit, schedule)
    _pictures(visit, schedule)
    provenance(schedule)
    if visit.may_run:
        show_trade_off(visit)


def _planner(visit: Visit) -> None:
    with st.form("planner", border=False):
        goal, ahead, button = st.columns([3, 2, 2], vertical_alignment="bottom")
        objective = goal.selectbox("Aim", OBJECTIVES, format_func=name_of)
        hours = ahead.selectbox("Ahead", [12, 24, 48], index=1, format_func="{} hours".format)
        wanted = button.form_submit_button("Make a plan", type="primary", width="stretch")
    if wanted:
        with st.spinner("Planning…"):
            made = visit.client.dispatch(visit.community_id, objective=objective, horizon_hours=hours)
        st.session_state["plan"] = made["result_id"]


def _chosen(visit: Visit) -> Document | None:
    found = newest_results(visit, "dispatch")
    if not found:
        return None
    titles = {
        one["result_id"]: f"{local_text(parsed(one['start']), visit.zone)} · {name_of(one['objective'])} · "
        f"{money(one['cost'], visit.currency)}"
        for one in found
    }
    if st.session_state.get("plan") not in titles:
        st.session_state["plan"] = found[0]["result_id"]
    chosen = st.selectbox("Shown plan", list(titles), format_func=titles.__getitem__, key="plan")
    return visit.client.result(visit.community_id, str(chosen))


def _figures(visit: Visit, schedule: Document) -> None:
    cost, saved, own, peak = st.columns(4)
    cost.metric("Cost", money(schedule["cost"], visit.currency), border=True)
    saved.metric("Saved against rule", money(schedule["savings"]["saved"], visit.currency), border=True)
    own.metric("Own supply", percent(schedule["self_sufficiency"]), border=True)
    peak.metric("Highest import", quantity(schedule["peak_kw"], "kW"), border=True)


def _pictures(visit: Visit, schedule: Document) -> None:
    zone, currency = visit.zone, visit.currency
    capacity_kwh = visit.community["total_storage_capacity_kwh"]
    frame = charts.schedule_frame(schedule, zone)
    table = charts.schedule_table(schedule, zone)
    picture(
        "Where the power comes from", findings.supply_finding(schedule, frame), charts.supply_chart(schedule, zone),
        table, description="Stacked areas in kW over time: PV, storage and grid meet the demand, a black line.",
    )  # fmt: skip
    picture(
        "Stored energy", findings.storage_finding(frame, capacity_kwh, zone),
        charts.storage_chart(schedule, capacity_kwh, zone),
        charts.hourly(frame, {"soc_kwh": "Stored kWh"}),
        description="Area of the stored energy in kWh over time, under the line of the capacity.",
    )  # fmt: skip
    picture(
        "Prices", findings.price_finding(frame, currency, zone), charts.price_chart(schedule, currency, zone),
        charts.hourly(frame, {name: f"{shown}, {currency}/kWh" for name, shown in charts.PRICES.items()}, 4),
        description="Lines of the import and feed-in price over time.",
    )  # fmt: skip
    costs = charts.cost_frame(schedule).rename(
        columns={"way": "Way", "cost": f"Cost in {currency}", "saved": f"Saved by the plan in {currency}"}
    )
    picture(
        "What it saves", findings.savings_finding(schedule, currency), charts.cost_chart(schedule, currency),
        costs.round(2), description="Bars of the cost of this plan, of the simple rule and of idle storage.",
    )  # fmt: skip
    st.subheader("What holds it back", anchor=False)
    show_reasons(visit, schedule, findings.binding_sentences(schedule, currency, zone))
    st.caption(findings.certainty_sentence(schedule))

"""On the page Dispatch: why a plan is as it is, which one is in force, and what another aim would cost."""

import streamlit as st

from digital_twin.dashboard.charts import trade_offs as charts
from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.findings.trade_offs import trade_off_finding
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import asked, numbers, picture, plain, told_problems
from digital_twin.dashboard.visit import Visit
from digital_twin.domain import errors

NO_LIMIT = "No limit holds this plan back."


def show_reasons(visit: Visit, schedule: Document, otherwise: list[str]) -> None:
    """Limits and actions in words; the other words for a plan whose question was not kept."""
    try:
        found = asked(visit, "explanation", visit.client.plans.explanation, result_id=schedule["result_id"])
    except errors.InvalidInput:
        for text in otherwise or [NO_LIMIT]:
            st.markdown(f"- {plain(text)}")
        return
    for part in found.get("risk", {}).values():
        st.markdown(plain(part["text"]))
    for one in [*found["limits"], *found.get("members", ())] or [{"text": NO_LIMIT}]:
        st.markdown(f"- {plain(one['text'])}")
    if found.get("members"):
        numbers("For whom more would be worth most", charts.most_valuable_frame(found))
    if found["actions"]:
        with st.expander(f"What it does when, and why ({len(found['actions'])})"):
            for one in found["actions"]:
                st.markdown(f"- {plain(one['text'])}")
    for note in found["notes"]:
        st.caption(plain(note))


def show_in_force(visit: Visit, schedule: Document) -> None:
    """Whether this plan is the one that is carried out, and the button that makes it so."""
    try:
        active = visit.client.plans.active(visit.community_id)
    except errors.NotFound:
        active = None
    if active is not None:
        is_this = active["schedule"]["result_id"] == schedule["result_id"]
        since = local_text(parsed(active["applied_at"]), visit.zone)
        who = f", applied by {active['applied_by_name']}" if "applied_by_name" in active else ""
        st.caption(plain(f"{'This plan' if is_this else 'Another plan'} is in force since {since}{who}."))
        if is_this:
            return
    if visit.may_run and st.button("Put this plan in force", icon=":material/play_arrow:"):
        with told_problems():
            visit.client.plans.apply(visit.community_id, schedule["result_id"])
            st.rerun()


def show_trade_off(visit: Visit) -> None:
    """A curve of plans for the next day, one of which may be kept."""
    st.subheader("What another aim would cost", anchor=False)
    against, button = st.columns([3, 2], vertical_alignment="bottom")
    aim = against.selectbox("Cost against", list(charts.AIMS), format_func=lambda one: charts.AIMS[one][0])
    if button.button("Compare plans", width="stretch"):
        with told_problems(), st.spinner("Comparing…"):
            st.session_state["trade_off"] = visit.client.plans.trade_off(visit.community_id, aim, points=12)
    found: Document | None = st.session_state.get("trade_off")
    if found is None:
        return
    picture(
        "Plans for the next day", trade_off_finding(found, visit.currency),
        charts.trade_off_chart(found, visit.currency), charts.trade_off_table(found, visit.currency),
        description="A falling curve: the cost of the best plans over what they are traded against.",
    )  # fmt: skip
    number = st.selectbox("Plan", range(len(found["points"])), key="trade_off_point")
    st.button("Keep this plan", on_click=_keep, args=(visit, found["result_id"], int(number)))


def _keep(visit: Visit, result_id: str, number: int) -> None:
    with told_problems():
        made = visit.client.plans.keep_point(visit.community_id, result_id, number)
        st.session_state["plan"] = made["result_id"]

"""On the page Dispatch: how the community has done in the last week."""

import streamlit as st

from digital_twin.dashboard.findings.earnings import earnings_finding
from digital_twin.dashboard.layout import plain
from digital_twin.dashboard.visit import Visit
from digital_twin.dashboard.wording import money, percent
from digital_twin.domain import errors


def show_earnings(visit: Visit) -> None:
    """Figures of the last week, and what the storage earned in it."""
    st.subheader("How the last seven days went", anchor=False)
    try:
        found = visit.client.kpis(visit.community_id)
    except errors.InsufficientData as problem:
        st.caption(plain(str(problem)))
        return
    cost, own, used, captured = st.columns(4)
    cost.metric("Cost of energy", money(found["cost"], visit.currency), border=True)
    own.metric("Own supply", percent(found["self_sufficiency"]), border=True)
    used.metric("Own PV used", percent(found["self_consumption"]), border=True)
    captured.metric(
        "Storage's value captured",
        percent(found["savings"]["baselines"]["idle"]["value_captured"]),
        border=True,
        help="Of what the best possible plan, which knows everything beforehand, would have saved against idle storage",
    )
    st.markdown(plain(earnings_finding(found, visit.currency)))

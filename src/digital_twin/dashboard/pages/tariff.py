"""Which prices are best: for whom, at what cost, and within which limits."""

from collections.abc import Generator
from contextlib import contextmanager

import streamlit as st

from digital_twin.dashboard.charts import tariffs as charts
from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.findings import tariffs as findings
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import heading, newest_results, only_looking, picture, plain, provenance
from digital_twin.dashboard.visit import Visit
from digital_twin.dashboard.wording import money, number
from digital_twin.domain.errors import Infeasible

BLOCKS: dict[str, list[float] | int | None] = {
    "A price for every hour": None,
    "Five parts of the day": [0.0, 6.0, 10.0, 16.0, 21.0],
    "Day and night": [6.0, 22.0],
    "One price for all hours": 1,
}

LEARNED = "learned"
ELASTICITIES = ("-0.05", "-0.1", "-0.2", "-0.3", "-0.5")
UNITS: dict[str, float | None] = {"any amounts": None, "cents": 0.01, "tenths of a cent": 0.001}


def show(visit: Visit) -> None:
    """The page."""
    heading(visit, "Tariff", "which prices are best, and who gains?")
    if visit.may_run:
        _designer(visit)
    else:
        only_looking("design tariffs")
    tariff = _chosen(visit)
    if tariff is None:
        st.info("There is no tariff yet. An operator makes one with “Design a tariff”.", icon=":material/sell:")
        return
    _figures(visit, tariff)
    _pictures(visit, tariff)
    provenance(tariff)


def _designer(visit: Visit) -> None:
    with st.form("designer", border=False):
        first, second, third, last = st.columns([3, 2, 2, 2], vertical_alignment="bottom")
        blocks = first.selectbox("Prices", list(BLOCKS))
        hours = second.selectbox("Ahead", [24, 48, 168], format_func="{} hours".format)
        budget = third.number_input(
            f"Incentives a day, {visit.currency}", min_value=0.0, value=float(visit.community["incentive_budget_daily"])
        )
        wanted = last.form_submit_button("Design a tariff", type="primary", width="stretch")
        lines = st.columns(4, vertical_alignment="bottom")
        elasticity = lines[0].selectbox(
            "Elasticity of demand", [LEARNED, *ELASTICITIES],
            help="By how many percent demand changes when the price rises by one percent. Learned from readings and "
            "past prices where both vary; else that of the literature",
        )  # fmt: skip
        unit = lines[3].selectbox("Prices in whole", list(UNITS))
        nobody = st.checkbox("What members use at present may cost none of them more")
        low, high = (
            lines[column].number_input(
                f"{name} price, {visit.currency}/kWh", value=None, step=0.01, format="%.3f", placeholder=usual
            )
            for column, name, usual in ((1, "Lowest", "half today's"), (2, "Highest", "1.5 times today's"))
        )
    if wanted and (low is None) != (high is None):
        st.warning("Give both the lowest and the highest price, or neither.", icon=":material/edit:")
    elif wanted:
        with st.spinner("Designing…"), _told_conflicts(visit):
            made = visit.client.design_tariff(
                visit.community_id,
                horizon_hours=hours,
                incentive_budget=budget,
                blocks=BLOCKS[blocks],
                elasticity=None if elasticity == LEARNED else float(elasticity),
                price_bounds=None if low is None else {"low": low, "high": high},
                price_unit_per_kwh=UNITS[unit],
                no_member_worse_off=nobody,
            )
            st.session_state["tariff"] = made["result_id"]


@contextmanager
def _told_conflicts(visit: Visit) -> Generator[None, None, None]:
    """Where there is no tariff: what would make room for one, above the tariffs there are."""
    try:
        yield
    except Infeasible as conflict:
        st.error("No tariff keeps to all of these limits.", icon=":material/block:")
        for text in findings.conflict_sentences(conflict.facts.get("limits") or [], visit.currency):
            st.markdown(plain(text))


def _chosen(visit: Visit) -> Document | None:
    found = newest_results(visit, "tariff")
    titles = {
        one["result_id"]: f"{local_text(parsed(one['start']), visit.zone)} · welfare "
        f"{money(one.get('welfare_change'), visit.currency)}"
        for one in found
    }
    if not titles:
        return None
    if st.session_state.get("tariff") not in titles:
        st.session_state["tariff"] = found[0]["result_id"]
    chosen = st.selectbox("Shown tariff", list(titles), format_func=titles.__getitem__, key="tariff")
    return visit.client.result(visit.community_id, str(chosen))


def _figures(visit: Visit, tariff: Document) -> None:
    currency = visit.currency
    welfare, incentives, revenue, demand = st.columns(4)
    welfare.metric("Welfare", money(tariff["welfare"]["change"], currency), border=True)
    incentives.metric("Incentives", money(tariff["incentives_paid"], currency), border=True)
    change = tariff["revenue"] - tariff["present_tariff"]["revenue"]
    revenue.metric("Paid for energy", money(tariff["revenue"], currency), border=True)
    used_kwh = sum(day["energy_after_kwh"] for day in tariff["days"])
    demand.metric("Energy used, kWh", number(round(used_kwh)), border=True)
    st.caption(
        f"Against the present tariff members pay {money(abs(change), currency)} {'more' if change > 0 else 'less'}."
    )


def _pictures(visit: Visit, tariff: Document) -> None:
    zone, currency = visit.zone, visit.currency
    picture(
        "Prices", findings.price_finding(tariff, currency, zone), charts.price_chart(tariff, currency, zone),
        charts.tariff_table(tariff, currency, zone),
        description="Step lines of the new import price, the import price of today and the new feed-in price.",
    )  # fmt: skip
    if elasticity := findings.elasticity_finding(tariff):
        st.caption(plain(elasticity))
    picture(
        "How demand answers", findings.demand_finding(tariff, zone), charts.demand_chart(tariff, zone),
        charts.demand_table(tariff, zone),
        description="Step lines of demand in kW before and after, with bands of 80 % where they are known.",
    )  # fmt: skip
    gains = charts.welfare_frame(tariff)
    named = {"who": "Who", "gain": f"Gain in {currency}"}
    picture(
        "Who gains", findings.welfare_finding(tariff, currency), charts.welfare_chart(tariff, currency),
        gains.round(2).rename(columns=named),
        description="Bars of gains and losses of consumers, operator, owners of PV and the climate.",
    )  # fmt: skip
    budget = charts.budget_frame(tariff, zone).round(2)
    picture(
        "Incentives and their budget", findings.budget_finding(tariff, currency),
        charts.budget_chart(tariff, currency, zone),
        budget.rename(columns={"day": "Day", "paid": f"Paid, {currency}", "budget": f"Budget, {currency}"}),
        description="Bars of the incentives of each day under the line of the budget.",
    )  # fmt: skip
    _distribution(visit, tariff, named)
    st.subheader("What holds it back", anchor=False)
    for text in findings.binding_sentences(tariff, currency, zone) or ["No limit holds this tariff back."]:
        st.markdown(f"- {plain(text)}")
    if certainty := findings.certainty_finding(tariff, currency):
        st.caption(plain(certainty))


def _distribution(visit: Visit, tariff: Document, named: dict[str, str]) -> None:
    finding, frame = findings.distribution_finding(tariff, visit.currency), charts.distribution_frame(tariff)
    if frame.empty:
        st.subheader("Members", anchor=False)
        st.markdown(plain(finding))
        return
    picture(
        "Members", finding, charts.gains_chart(frame, f"gain in {visit.currency}"),
        frame.round(2).rename(columns=named), description="Bars of what members gain or lose.",
    )  # fmt: skip

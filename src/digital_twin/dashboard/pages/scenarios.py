"""What if: scenarios defined, simulated as a Run, and laid beside each other."""

from collections.abc import Iterator
from typing import Any

import streamlit as st

from digital_twin.dashboard.charts import scenarios as charts
from digital_twin.dashboard.findings import scenarios as findings
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import heading, numbers, only_looking, picture, plain, provenance
from digital_twin.dashboard.runs import choose, runs_of, succeeded, tell_newest
from digital_twin.dashboard.visit import Visit
from digital_twin.dashboard.wording import percent

MOST_SCENARIOS = 4

IDEAS: tuple[tuple[str, dict[str, float]], ...] = (
    ("More PV", {"total_pv_capacity_kw": 1.5}),
    ("More storage", {"total_storage_capacity_kwh": 2.0, "max_storage_power_kw": 2.0}),
    ("More of both", {"total_pv_capacity_kw": 1.5, "total_storage_capacity_kwh": 2.0, "max_storage_power_kw": 2.0}),
    ("More demand", {"load_kw": 1.2}),
)
"""What a new form suggests: names, and by what the community's numbers are multiplied."""

CAPACITIES = (
    ("total_pv_capacity_kw", "PV, kW"),
    ("total_storage_capacity_kwh", "Storage, kWh"),
    ("max_storage_power_kw", "Storage power, kW"),
)
PERCENTAGES = (("load_kw", "Demand, %"), ("import_price_per_kwh", "Import price, %"))


def show(visit: Visit) -> None:
    """The page."""
    heading(visit, "Scenarios", "what if the community were different?")
    if visit.may_run:
        _definer(visit)
    else:
        only_looking("simulate")
    runs = runs_of(visit, "simulation")
    tell_newest(visit, runs, "Simulating")
    chosen = choose(visit, succeeded(runs), "Shown simulation", "Simulated")
    if chosen is None:
        st.info("No scenario has been simulated yet.", icon=":material/science:")
        return
    result = visit.client.simulation_result(visit.community_id, chosen)
    _pictures(visit, result)
    provenance(result)


def _definer(visit: Visit) -> None:
    count = st.segmented_control("Scenarios", list(range(1, MOST_SCENARIOS + 1)), default=2, required=True)
    with st.form("scenarios"):
        places = st.tabs([f"Scenario {place + 1}" for place in range(count)])
        scenarios = [_scenario(visit, index, place) for index, place in enumerate(places)]
        first, second, last = st.columns([2, 2, 2], vertical_alignment="bottom")
        days = first.selectbox("Simulated time", [30, 90, 365], index=2, format_func="{} days".format)
        times = second.selectbox("How many times", [20, 50, 100], format_func="{} times".format)
        wanted = last.form_submit_button("Simulate", type="primary", width="stretch")
    if wanted:
        today = {"scenario_id": charts.TODAY, "name": "As it is today"}
        visit.client.run_multiple(
            visit.community_id, [today, *scenarios], simulation_duration_days=days, monte_carlo_runs=times
        )


def _scenario(visit: Visit, index: int, place: Any) -> Document:
    """The fields of one scenario, filled in with an idea."""
    name, factors = IDEAS[index]
    with place:
        title = st.text_input("Name", name, key=f"name-{index}", max_chars=60)
        changes: Document = {}
        fields = st.columns(len(CAPACITIES) + len(PERCENTAGES))
        for field, (parameter, label) in zip(fields, CAPACITIES, strict=False):
            present = float(visit.community[parameter])
            value = field.number_input(
                label, min_value=0.0, value=present * factors.get(parameter, 1.0), key=f"{parameter}-{index}"
            )
            if value != present:
                changes[parameter] = value
        for field, (parameter, label) in zip(fields[len(CAPACITIES) :], PERCENTAGES, strict=True):
            value = field.number_input(
                label, 0.0, 1000.0, 100.0 * factors.get(parameter, 1.0), 5.0, key=f"{parameter}-{index}"
            )
            if value != 100.0:
                changes[parameter] = {"multiply": value / 100}
        money, years, rate = st.columns(3)
        investment = money.number_input(
            f"Investment, {visit.currency}", 0.0, 1e9, 0.0, 1000.0, key=f"investment-{index}"
        )
        lifetime = years.number_input("Lifetime, years", 1, 60, 20, key=f"lifetime-{index}")
        interest = rate.number_input("Interest, % a year", 0.0, 100.0, 3.0, 0.5, key=f"interest-{index}")
    scenario: Document = {"scenario_id": f"scenario_{index + 1}", "name": title, "parameter_changes": changes}
    if investment > 0:
        scenario["economics"] = {
            "investment": investment, "lifetime_years": int(lifetime), "discount_rate": interest / 100,
        }  # fmt: skip
    return scenario


def _pictures(visit: Visit, result: Document) -> None:
    currency = visit.currency
    st.subheader("Figures beside each other", anchor=False)
    st.markdown(plain(findings.comparison_finding(result, currency)))
    st.caption("Dot: mean. Bar: where the mean lies with 95 % confidence. Thin line: where nine of ten years lie.")
    for place, (kpi, (name, unit, _)) in zip(_places(len(charts.KPIS)), charts.KPIS.items(), strict=True):
        with place:
            st.markdown(f"**{name}**")
            st.altair_chart(
                charts.kpi_chart(result, kpi, currency), width="stretch", theme=None,
                alt=f"Dots with intervals: {name} in {unit.format(currency=currency)} of each scenario.",
            )  # fmt: skip
    numbers("Figures beside each other", charts.kpi_table(result, currency))
    _ranking(result, currency)
    if charts.economics_of(result):
        cash = charts.cash_frame(result).round(0)
        picture(
            "What investments come to", findings.economics_finding(result, currency),
            charts.cash_chart(result, currency),
            cash.rename(columns={"scenario": "Scenario", "year": "Year", "total": f"Sum so far, {currency}"}),
            description="Lines of the sum of discounted cash flows over the years; at zero it has paid back.",
        )  # fmt: skip
    members = findings.members_sentences(result, currency)
    if members:
        st.subheader("Members", anchor=False)
        st.markdown("\n".join(f"- {plain(one)}" for one in members))
    st.caption(findings.effort_sentence(result))


def _places(count: int, a_row: int = 3) -> Iterator[Any]:
    """Places for small pictures, row by row."""
    for first in range(0, count, a_row):
        yield from st.columns(a_row)[: count - first]


def _ranking(result: Document, currency: str) -> None:
    ranking = charts.ranking_frame(result)
    if ranking.empty:
        return
    st.subheader("Cheapest first", anchor=False)
    st.markdown(plain(findings.ranking_finding(result)))
    shown = ranking.assign(
        cost=[f"{one:,.0f}" for one in ranking["cost"]],
        share_best=[percent(one) for one in ranking["share_best"]],
        confidence=["" if one != one else percent(one) for one in ranking["confidence"]],
    )
    names = {
        "scenario": "Scenario", "cost": f"Mean cost, {currency}", "share_best": "Cheapest in so many years",
        "confidence": "Sure to cost less than the next",
    }  # fmt: skip
    st.table(shown.rename(columns=names), hide_index=True, border="horizontal")

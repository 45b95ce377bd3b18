"""Backtests: asked for, followed, and shown; the part of the Model lab that looks back."""

import streamlit as st

from digital_twin.dashboard.charts import backtests as charts
from digital_twin.dashboard.findings import backtests as findings
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import asked, only_looking, picture, plain, told_problems
from digital_twin.dashboard.runs import choose, runs_of, succeeded, tell_newest
from digital_twin.dashboard.visit import Visit
from digital_twin.dashboard.wording import name_of

USUAL = "ridge_conformal", "pvwatts"
"""What the form suggests: quick, and good."""


def section(visit: Visit, known: Document, variable: str) -> None:
    """The section, of one variable."""
    st.header("Backtest", anchor=False)
    st.markdown(
        "Each model is asked at the midnights of past days, through the code that serves forecasts, and held against "
        "what happened. The seasonal naive, which expects the week before again, is always asked beside them."
    )
    if visit.may_run:
        _asker(visit, known, variable)
    else:
        only_looking("run backtests")
    runs = runs_of(visit, "backtest")
    tell_newest(visit, runs, "Backtesting")
    chosen = choose(visit, succeeded(runs), "Shown backtest", "Backtest of")
    if chosen is None:
        st.info("There is no backtest yet.", icon=":material/history:")
        return
    result = asked(visit, "backtest", visit.client.backtest_result, result_id=chosen)
    told = result["variables"].get(variable)
    if told is None:
        st.info(plain(findings.not_asked_sentence(variable)), icon=":material/history:")
        return
    _pictures(told)


def _asker(visit: Visit, known: Document, variable: str) -> None:
    able = [one["name"] for one in known["models"] if variable in one["variables"] and one["name"] != charts.YARDSTICK]
    with st.form("backtest", border=False):
        models, days, refit, button = st.columns([5, 2, 2, 2], vertical_alignment="bottom")
        chosen = models.multiselect(
            "Models", able, default=[one for one in USUAL if one in able], format_func=name_of, key=f"asked-{variable}"
        )
        count = days.selectbox("Days", [7, 14, 28, 56], index=1)
        every = refit.selectbox("Fitted anew every", [1, 7, 14, 28], index=1, format_func=_days)
        wanted = button.form_submit_button("Backtest", type="primary", width="stretch")
    if wanted and not chosen:
        st.warning("Choose at least one model.", icon=":material/checklist:")
    elif wanted:
        with told_problems():
            visit.client.backtest(visit.community_id, chosen, variables=[variable], days=count, refit_days=every)


def _days(days: int) -> str:
    return "day" if days == 1 else f"{days} days"


def _pictures(told: Document) -> None:
    table = charts.backtest_table(told)
    left, right = st.columns(2)
    with left:
        picture(
            "Against the seasonal naive", findings.skill_finding(told), charts.skill_chart(told), table,
            description="Dots at the share of the seasonal naive's loss that each model saved, with its interval.",
        )  # fmt: skip
    with right:
        picture(
            "Do intervals hold?", findings.coverage_finding(told), charts.coverage_chart(told), table,
            description="Dots at the share of values that each model's intervals held, and strokes at the promise.",
        )  # fmt: skip
    picture(
        "Loss by hours ahead", findings.lead_finding(told), charts.lead_chart(told),
        charts.lead_table(told),
        description="Lines of the mean loss in kW of each model over the hours after midnight.",
    )  # fmt: skip

"""The Model lab: which models forecast and why, training, backtests, and two models beside each other."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from digital_twin.dashboard.charts import models as charts
from digital_twin.dashboard.findings import models as findings
from digital_twin.dashboard.findings.accuracy import drift_sentence
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import (
    asked,
    heading,
    numbers,
    only_looking,
    picture,
    plain,
    small_multiples,
    told_problems,
)
from digital_twin.dashboard.pages import backtests
from digital_twin.dashboard.runs import runs_of, tell_newest
from digital_twin.dashboard.visit import Visit
from digital_twin.dashboard.wording import name_of
from digital_twin.domain.time import local_date, local_midnight

VARIABLES = {"load_kw": "Demand", "pv_kw": "PV", "net_load_kw": "Net demand"}


def show(visit: Visit) -> None:
    """The page."""
    heading(visit, "Model lab", "which models forecast, and why these?")
    known = visit.client.models(visit.community_id)
    variable = st.segmented_control(
        "Forecasts of", list(VARIABLES), default="load_kw", format_func=VARIABLES.__getitem__, required=True
    )
    with told_problems():
        _who_answers(visit, known, variable)
    _train(visit, known, variable)
    with told_problems():
        backtests.section(visit, known, variable)
    with told_problems():
        _two_models(visit, known, variable)


def _who_answers(visit: Visit, known: Document, variable: str) -> None:
    st.header("Who answers, and why?", anchor=False)
    versions = charts.newest_versions(known["trained"], variable)
    label = _tomorrow(visit, known, variable, findings.AUTO)["models"][variable]
    st.markdown(plain(findings.answer_finding(label, variable, versions, visit.zone)))
    drift = known["drift"].get(variable)
    worse = None if drift is None else drift_sentence(drift, variable, visit.zone)
    if worse is None:
        st.markdown(plain(findings.drift_finding(drift)))
    else:
        st.warning(plain(worse), icon=":material/trending_down:")
    if versions:
        picture(
            "Loss on days not learned from",
            findings.held_out_finding(versions),
            charts.held_out_chart(versions),
            charts.versions_table(known["trained"], variable, visit.zone),
            description="Bars of the loss in kW of each trained model, with the seasonal naive's on the same days.",
        )
    for one in versions:
        if one["ensemble"] is not None:
            _members(one["ensemble"])
    numbers("all models", charts.registered_table(known["models"], variable))


def _members(ensemble: Document) -> None:
    small_multiples(
        "What members weigh",
        findings.ensemble_finding(ensemble),
        list(charts.weight_pictures(ensemble)),
        charts.weights_table(ensemble),
    )
    left_out = findings.left_out_sentence(ensemble)
    if left_out is not None:
        st.caption(plain(left_out))


def _train(visit: Visit, known: Document, variable: str) -> None:
    st.header("Train now", anchor=False)
    st.markdown(
        "Models are trained by themselves again and again. A new version answers as soon as it is there; "
        "it is judged on the last days, which it is not shown at first."
    )
    if visit.may_run:
        _trainer(visit, known, variable)
    else:
        only_looking("train models")
    with told_problems():
        tell_newest(visit, runs_of(visit, "training"), "Training")


def _trainer(visit: Visit, known: Document, variable: str) -> None:
    able = [one["name"] for one in known["models"] if one["learns"] and variable in one["variables"]]
    with st.form("trainer", border=False):
        models, button = st.columns([5, 2], vertical_alignment="bottom")
        chosen = models.multiselect(
            f"Models of {VARIABLES[variable]}", able, format_func=name_of,
            placeholder="What answers unless told otherwise, of every variable",
        )  # fmt: skip
        wanted = button.form_submit_button("Train now", type="primary", width="stretch")
    if wanted:
        with told_problems():
            visit.client.train(visit.community_id, **({"models": chosen, "variables": [variable]} if chosen else {}))


def _two_models(visit: Visit, known: Document, variable: str) -> None:
    st.header("Two models on tomorrow", anchor=False)
    able = [findings.AUTO, *(one["name"] for one in known["models"] if variable in one["variables"])]
    left, right = st.columns(2)
    first = left.selectbox("One", able, format_func=_title, key=f"one-{variable}")
    second = right.selectbox(
        "Another", able, index=able.index("seasonal_naive"), format_func=_title, key=f"another-{variable}"
    )
    if first == second:
        st.info("Choose two different models.", icon=":material/compare_arrows:")
        return
    with st.spinner("Forecasting…"):
        made = [(one, _tomorrow(visit, known, variable, one)) for one in (first, second)]
    forecasts = {findings.forecast_title(one, told["models"][variable]): told for one, told in made}
    hours = made[0][1]["resolution_minutes"] / 60
    frames = charts.two_frames(forecasts, variable, visit.zone)
    picture(
        VARIABLES[variable],
        findings.two_finding(frames, variable, hours, visit.zone),
        charts.two_chart(forecasts, variable, visit.zone),
        charts.two_table(forecasts, variable, visit.zone),
        description="Lines of both forecasts in kW, each with the band that is 90 % sure.",
    )
    st.caption("A model asked for by its name is fitted for the question; a trained version answers for “auto” alone.")


def _title(model: str) -> str:
    return "What answers now" if model == findings.AUTO else name_of(model)


def _tomorrow(visit: Visit, known: Document, variable: str, model: str) -> Document:
    """The local day after this one, forecast anew when another model was trained."""
    today = local_date(datetime.now(UTC), visit.zone_name)
    start, end = (local_midnight(today + timedelta(days=days), visit.zone_name) for days in (1, 2))
    newest = max((one["trained_at"] for one in known["trained"]), default="")
    return asked(
        visit, f"tomorrow since {newest}", visit.client.forecast, start_time=start, end_time=end, model=model,
        variables=[variable],
    )  # fmt: skip

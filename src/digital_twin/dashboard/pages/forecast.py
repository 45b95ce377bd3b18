"""What will happen: demand, PV and what remains, with how sure that is, and how good the last forecasts were."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from digital_twin.dashboard.charts import forecasts as charts
from digital_twin.dashboard.clock import ceiling, parsed
from digital_twin.dashboard.findings import forecasts as findings
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import asked, heading, picture, provenance, told_problems
from digital_twin.dashboard.pages import accuracy
from digital_twin.dashboard.visit import Visit

VARIABLES = (("load_kw", "Demand"), ("pv_kw", "PV"), ("net_load_kw", "Net demand"))
STATES = (("load_kw", "demand_kw"), ("pv_kw", "pv_kw"))
"""Variables of a forecast and the states that they become."""

RESOLUTION_MINUTES = 15
HISTORY = timedelta(hours=24)


def show(visit: Visit) -> None:
    """The page."""
    heading(visit, "Forecast", "what will happen, and how sure is that?")
    left, right = st.columns(2)
    hours = left.segmented_control("Ahead", [24, 48, 72], default=24, format_func="{} hours".format, required=True)
    confidence = right.segmented_control(
        "Confidence", [0.5, 0.8, 0.9], default=0.9, format_func="{:.0%}".format, required=True
    )
    start = ceiling(datetime.now(UTC), RESOLUTION_MINUTES)
    with st.spinner("Forecasting…"):
        forecast = asked(
            visit, "forecast", visit.client.forecast, start_time=start, horizon_hours=hours,
            confidence_level=confidence, resolution_minutes=RESOLUTION_MINUTES,
        )  # fmt: skip
    st.caption(
        "Black is what was, a day back. The dashed line is what is expected; what comes lies in the shades around it "
        "with 50, 80 and 90 % probability, in the lightest nearly always."
    )
    _pictures(visit, forecast)
    st.caption(findings.models_sentence(forecast))
    provenance(forecast)
    with told_problems():
        accuracy.look_back(visit, dict(VARIABLES))


def _pictures(visit: Visit, forecast: Document) -> None:
    history = _history(visit, parsed(forecast["start"]))
    for variable, label in VARIABLES:
        if variable not in forecast["variables"]:
            continue
        frame = charts.forecast_frame(forecast, variable, visit.zone)
        picture(
            label,
            findings.forecast_finding(forecast, variable, frame, visit.zone),
            charts.fan_chart(
                forecast, variable, charts.history_frame(history, variable, visit.zone), visit.zone, label=label
            ),
            charts.forecast_table(forecast, variable, visit.zone),
            description=f"Fan chart: {label} in kW over time: the last day, then the forecast.",
        )


def _history(visit: Visit, end: datetime) -> list[Document]:
    """Demand and PV of the last day as the twin knows them: some meters report late, and their sum would fall."""
    track = asked(visit, "history", visit.client.state_history, start=end - HISTORY, end=end)
    columns = [
        {**{name: track[name] for name in ("start", "resolution_minutes")}, "name": variable, "values": one["mean"]}
        for variable, one in ((variable, track["states"].get(state)) for variable, state in STATES)
        if one is not None and any(value is not None for value in one["mean"])
    ]
    if not columns:
        st.info(
            "There are no readings yet, so the forecast rests on standard profiles. "
            "Import a meter file with: digital-twin import",
            icon=":material/upload_file:",
        )
    return columns

"""Two communities of real meters: one command imports each, and forecasts and plans come back over HTTP."""

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.cli.command_line import CommandLine
from tests.e2e.real_communities import CITYLEARN, HOUSEHOLDS, RealCommunity, needs_citylearn, needs_households

pytestmark = pytest.mark.real_data

ROUNDING = 2e-6  # readings are kept as float32


def answer_of(line: CommandLine, command: str, community_id: str, start: datetime, *options: str) -> dict[str, Any]:
    text = line.output(command, "--community", community_id, "--start", start.isoformat(), "--json", *options)
    return json.loads(text)


def assert_answers_from_data(line: CommandLine, community_id: str, start: datetime, name: str, usual_kw: float) -> None:
    """A forecast near what these meters usually show, and a plan that keeps its balance."""
    forecast = answer_of(line, "forecast", community_id, start)
    mean = np.array(forecast["variables"][name]["mean"])
    assert np.isfinite(mean).all()
    assert usual_kw / 2 < mean.mean() < usual_kw * 2, "a forecast from data is near them"
    plan = answer_of(line, "dispatch", community_id, start)
    assert plan["status"] == "optimal"
    drawn, fed, charge, discharge, curtailed = (
        np.array(plan[one]) for one in ("import_kw", "export_kw", "charge_kw", "discharge_kw", "curtailed_kw")
    )
    net = np.array(plan["load_kw"]) - np.array(plan["pv_kw"])
    np.testing.assert_allclose(drawn - fed, net + charge - discharge + curtailed, atol=1e-4)


def assert_state_of_all_meters(line: CommandLine, community_id: str, name: str, last_kw: float, homes: int) -> None:
    """The state of the last interval is the sum of the meters, and of an earlier one what was known then."""
    with line.installation.client("root_admin") as client:
        address = f"/communities/{community_id}/state"
        state = client.get(address).json()
        assert state["coverage"] == pytest.approx(1), f"all {homes} meters reported"
        assert state["states"][name]["mean"] == pytest.approx(last_kw, rel=0.01)
        assert 0.3 < state["nis"] < 3, "the twin errs about as much as it says"
        observed_at = datetime.fromisoformat(state["observed_at"])
        earlier = observed_at - timedelta(days=3)
        known = client.get(address, params={"as_of": earlier.isoformat()}).json()
        assert earlier - timedelta(hours=3) < datetime.fromisoformat(known["observed_at"]) <= earlier
        span = {"start": earlier.isoformat(), "end": observed_at.isoformat()}
        history = client.get(f"{address}/history", params=span).json()
        assert None not in history["states"][name]["mean"]


@needs_citylearn
def test_seventeen_homes_with_generation_import_by_one_command(line: CommandLine, sierra_crest: RealCommunity) -> None:
    assert "297,840 readings of 17 members" in sierra_crest.said
    truth = pd.read_parquet(CITYLEARN)
    with line.installation.client("root_admin") as client:
        query = {"series": "load_kw,pv_kw", "start": "2017-07-01T08:00Z", "end": "2017-07-02T08:00Z"}
        sums = client.get("/communities/sierra_crest/readings", params=query).json()["series"]
    day = truth[(truth["time"] >= "2017-07-01") & (truth["time"] < "2017-07-02")].groupby("time").sum()
    np.testing.assert_allclose(sums[0]["values"], day["load_kwh"], rtol=ROUNDING)
    np.testing.assert_allclose(sums[1]["values"], day["pv_kwh"], rtol=ROUNDING)
    usual_kw = truth.groupby("time")["load_kwh"].sum().tail(7 * 24).mean()
    assert_answers_from_data(line, "sierra_crest", sierra_crest.end, "load_kw", usual_kw)
    last_kw = truth[truth["time"] == truth["time"].max()]["load_kwh"].sum()
    assert_state_of_all_meters(line, "sierra_crest", "demand_kw", last_kw, 17)


@needs_households
def test_households_with_a_column_each_import_by_one_command(line: CommandLine, households: RealCommunity) -> None:
    assert "2,526,038 readings of 537 members" in households.said
    assert "Europe/Zurich" in households.said, "the zone that was guessed is shown"
    assert "glitches" in households.said, "what is left out is shown"
    again = line.output(*households.command)
    assert "2,526,038" in next(said for said in again.splitlines() if "already there with the same value" in said)
    assert " 0 " in next(said for said in again.splitlines() if "stored" in said)
    truth = pd.read_parquet(HOUSEHOLDS).drop(columns="time_local")
    usual_kw = truth.sum(axis=1).tail(7 * 96).mean() * 4
    assert_answers_from_data(line, "households", households.end, "net_load_kw", usual_kw)
    last_kw = truth.iloc[-1].sum() * 4
    assert_state_of_all_meters(line, "households", "net_load_kw", last_kw, 537)

"""The Model lab: its pictures, tables and sentences."""

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.dashboard import documents

from digital_twin.dashboard.charts import backtests
from digital_twin.dashboard.charts import models as charts
from digital_twin.dashboard.findings import backtests as backtest_findings
from digital_twin.dashboard.findings import models as findings

VIENNA = ZoneInfo("Europe/Vienna")
TRAINED = "ensemble, trained version 2 of 2026-03-02T00:00Z"


def rows_of(chart: Any) -> list[dict[str, Any]]:
    spec = chart.to_dict()
    return [row for rows in spec["datasets"].values() for row in rows]


def test_the_model_that_answers_is_told_with_what_it_rests_on_and_how_it_did() -> None:
    versions = charts.newest_versions([documents.version()], "load_kw")
    assert findings.answer_finding(TRAINED, "load_kw", versions, UTC) == (
        "Demand is forecast by the model Ensemble, trained on Mon 02 Mar 00:00 from 30 days of readings. "
        "On the last 14 days before, which it was not shown, it lost 25 % less than the seasonal naive, "
        "and its 90 % interval held 88 %."
    )


def test_a_model_that_nobody_trained_is_told_to_be_fitted_in_the_asking() -> None:
    told = findings.answer_finding("ridge_conformal", "load_kw", [documents.version()], UTC)
    assert told.startswith("Demand is forecast by the model Calibrated ridge, fitted anew whenever it is asked")


def test_net_demand_that_follows_from_two_forecasts_names_both_models() -> None:
    told = findings.answer_finding(f"{TRAINED} - pvwatts", "net_load_kw", [], UTC)
    assert told == "Net demand follows from the forecasts of demand less PV, which are made by Ensemble and PVWatts."
    assert findings.forecast_title("auto", f"{TRAINED} - pvwatts") == "Ensemble and PVWatts (answers now)"
    assert findings.forecast_title("ridge", "ridge") == "Ridge"


@pytest.mark.parametrize(
    ("loss_kw", "told"), [(5.0, "it lost 25 % more than"), (4.0, "it was as good as"), (3.0, "it lost 25 % less than")]
)
def test_a_version_is_held_against_the_naive_of_the_same_days(loss_kw: float, told: str) -> None:
    assert told in findings.held_out_sentence(documents.version(loss_kw=loss_kw))


def test_only_the_newest_version_of_each_model_is_drawn_and_all_stand_in_the_table() -> None:
    trained = [
        documents.version(loss_kw=2.0), documents.version("ridge"), documents.version(version=1, loss_kw=9.0),
        documents.version("pvwatts", variable="pv_kw"),
    ]  # fmt: skip
    versions = charts.newest_versions(trained, "load_kw")
    bars = [(row["model"], row["series"], row["loss"]) for row in rows_of(charts.held_out_chart(versions))]
    assert bars == [
        ("Ensemble", "this model", 2.0), ("Ensemble", "seasonal naive", 4.0),
        ("Ridge", "this model", 3.0), ("Ridge", "seasonal naive", 4.0),
    ]  # fmt: skip
    table = charts.versions_table(trained, "load_kw", VIENNA)
    assert table["Model"].tolist() == ["Ensemble", "Ridge", "Ensemble"]
    assert table["Skill"].tolist() == ["50 %", "25 %", "-125 %"]
    assert set(table["Trained"]) == {"Mon 02 Mar 01:00"}


def test_weights_stand_in_a_field_for_each_member_and_part_of_the_day() -> None:
    ensemble = documents.ensemble(ridge=0.3, boosting=0.7)
    pictures = dict(charts.weight_pictures(ensemble))
    assert list(pictures) == ["Low quantiles", "Middle quantiles", "High quantiles"]
    fields = {(row["model"], row["part"]): row["weight"] for row in rows_of(pictures["High quantiles"])}
    assert fields["Boosting", "16-24"] == 1.0
    assert fields["Ridge", "16-24"] == 0.0
    assert fields["Ridge", "00-08"] == 0.3
    assert charts.weights_table(ensemble)["Member"].tolist() == ["Boosting", "Ridge"], "the heaviest first"


def test_members_are_told_by_weight_and_by_what_they_lose_alone() -> None:
    ensemble = documents.ensemble(ridge=0.3, boosting=0.7)
    assert findings.ensemble_finding(ensemble) == (
        "Boosting weighs most, 70 % in the mean; then ridge (30 %). Weights come from losses on 24 days up to "
        "Sun 01 Mar, from none of which a member had learned. Alone ridge lost least and boosting most, 10 % more."
    )
    assert findings.left_out_sentence(ensemble) == "Not among them: lstm needs temperature_c."
    assert findings.left_out_sentence({**ensemble, "left_out": []}) is None


def test_how_forecasts_fare_in_service_waits_for_the_first_judged_day() -> None:
    fine = documents.drift(is_degraded=False, evidence=3.0)
    assert findings.drift_finding(fine) == (
        "In service forecasts lost 92 % of what the seasonal naive loses, over 60 days; they have not become worse "
        "(evidence 3, an alert comes at 1,000)."
    )
    for unknown in (None, documents.drift(days=0, relative_loss=None)):
        assert "once the first days" in findings.drift_finding(unknown)


def test_two_forecasts_are_drawn_beside_each_other_and_told_by_where_they_differ_most() -> None:
    other = documents.forecast()
    load = other["variables"]["load_kw"]
    other["variables"]["load_kw"] = {**load, "mean": [load["mean"][0], load["mean"][1] + 7, *load["mean"][2:]]}
    both = {"Ridge": documents.forecast(), "LSTM": other}
    frames = charts.two_frames(both, "load_kw", UTC)
    told = findings.two_finding(frames, "load_kw", 1.0, UTC)
    means = load["mean"]
    assert told.startswith(
        f"Tomorrow's demand comes to {sum(means):g} kWh by Ridge and {sum(means) + 7:g} kWh by LSTM."
    )
    assert f"{means[1]:g} against {means[1] + 7:g} kW" in told
    spec: Any = charts.two_chart(both, "load_kw", UTC).to_dict()
    dashes = spec["layer"][1]["encoding"]["strokeDash"]["scale"]["range"]
    assert len({tuple(one) for one in dashes}) == 2
    assert list(charts.two_table(both, "load_kw", UTC).columns) == ["From", "Ridge, kW", "LSTM, kW"]
    same = {"Ridge": documents.forecast(), "LSTM": documents.forecast()}
    assert "both say the same" in findings.two_finding(charts.two_frames(same, "load_kw", UTC), "load_kw", 1.0, UTC)


def test_a_backtest_ranks_models_by_loss_and_draws_what_each_saved() -> None:
    told = documents.backtest(ridge=3.0, lstm=2.0, prophet=None)
    assert backtests.ranked(told) == ["lstm", "ridge", "seasonal_naive", "prophet"]
    frame = backtests.skill_frame(told)
    assert frame["model"].tolist() == ["LSTM", "Ridge"]
    assert frame["skill"].tolist() == [0.5, 0.25]
    assert frame["low"].tolist() == pytest.approx([0.45, 0.2])
    assert backtest_findings.skill_finding(told) == (
        "LSTM did best: over 14 days it lost 50 % less than the seasonal naive (95 % sure: 45 % to 55 %)."
    )
    assert backtest_findings.skill_finding(documents.backtest(ridge=5.0)) == (
        "No model lost less than the seasonal naive."
    )
    assert backtest_findings.skill_finding(documents.backtest(ridge=3.9)).endswith("so it may be chance.")
    alone = documents.backtest(ridge=3.0)
    alone["models"]["ridge"]["naive_ratio"] = None
    assert backtest_findings.skill_finding(alone) == "Ridge lost least, 3 kW; too few days to compare."


def test_a_backtest_tells_whose_intervals_hold() -> None:
    told = documents.backtest(ridge=3.0)
    told["models"]["ridge"]["coverage_90"] = 0.7
    assert backtest_findings.coverage_finding(told).endswith(
        "The intervals of seasonal naive are as sure as they say; those of ridge are surer than they should be."
    )
    assert len(backtests.coverage_frame(told)) == 6


def test_a_backtest_tells_how_far_ahead_the_best_model_loses_most() -> None:
    told = documents.backtest(ridge=3.0)
    assert backtest_findings.lead_finding(told).endswith(
        "Ridge loses most 18 hours ahead (6 kW) and least 0 hours ahead (3 kW)."
    )
    lines = rows_of(backtests.lead_chart(told))
    assert [row["hour"] for row in lines if row["series"] == "Ridge"] == list(range(25))


def test_a_backtest_of_which_nothing_is_known_says_so() -> None:
    told = documents.backtest(seasonal_naive=None, ridge=None)
    assert backtest_findings.skill_finding(told) == "None of these days has readings and forecasts to compare."
    assert backtest_findings.coverage_finding(told) == "How often intervals held is not known."
    assert backtest_findings.lead_finding(told) == "What was lost at which hour is not known."
    assert backtests.backtest_table(told)["x naive"].tolist() == ["", ""]
    for chart in (backtests.skill_chart, backtests.coverage_chart, backtests.lead_chart):
        chart(told).to_dict()

"""State, training, forecast, dispatch, tariff and scenarios over HTTP, for a community without data and two real ones.

What comes back is held against what must be true of any right answer, recomputed here.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import pytest
from tests.api.application import answered, refused
from tests.cli.command_line import CommandLine
from tests.e2e.real_communities import EIGHT_FIELDS, create, needs_citylearn, needs_households

WAIT = {"Prefer": "wait=60"}
SOLVED_KW = 1e-4  # to what power balances hold, of communities of up to a megawatt
ROUNDED = 1e-9  # sums of a day's doubles in another order, relative
DAYS, RUNS, SEED = 30, 10, 11

SCENARIOS: list[dict[str, Any]] = [
    {"scenario_id": "nothing"},
    {"scenario_id": "no_storage", "policy": "idle"},
    {"scenario_id": "more_sun", "parameter_changes": {"total_pv_capacity_kw": {"multiply": 1.5}}},
    {"scenario_id": "dearer", "parameter_changes": {"import_price_per_kwh": {"add": 0.1}}},
]
LEVELS = ("0.05", "0.25", "0.5", "0.75", "0.95")


@dataclass
class Twin:
    """A community as its operator asks about it; what takes long is asked once."""

    client: httpx.Client
    community_id: str
    start: datetime
    timezone: str
    metered: tuple[str, ...]
    """The variables that have readings."""

    def post(self, what: str, **body: Any) -> Any:
        return answered(self.client.post(f"/communities/{self.community_id}/{what}", json=body))

    def get(self, what: str) -> Any:
        return answered(self.client.get(f"/communities/{self.community_id}/{what}"))

    def carried_out(self, what: str, **body: Any) -> dict[str, Any]:
        """The Run, when it has succeeded."""
        run = answered(self.client.post(f"/communities/{self.community_id}/{what}", json=body, headers=WAIT), 202)
        while run["state"] in ("queued", "running"):
            run = answered(self.client.get(run["links"]["self"], headers=WAIT))
        assert run["state"] == "succeeded", run
        return run

    @cached_property
    def training(self) -> dict[str, Any]:
        return self.carried_out("forecasting/train", as_of=self.start.isoformat())

    @cached_property
    def plan(self) -> dict[str, Any]:
        return self.post("optimization/dispatch", start_time=self.start.isoformat(), horizon_hours=24)

    @cached_property
    def tariff(self) -> dict[str, Any]:
        """Cheap energy, too little budget to pass it on, and a horizon that begins and ends inside local days."""
        return self.post(
            "optimization/tariff",
            start_time=(self.start - timedelta(hours=7)).isoformat(),
            horizon_hours=40,
            marginal_cost_per_kwh=0.05,
            incentive_budget=3.0,
        )

    @cached_property
    def comparison(self) -> dict[str, Any]:
        return self.simulated()

    def simulated(self) -> dict[str, Any]:
        body = {"simulation_duration_days": DAYS, "monte_carlo_runs": RUNS, "seed": SEED}
        run = self.carried_out("simulation/run-multiple", scenarios=SCENARIOS, as_of=self.start.isoformat(), **body)
        assert run["progress"]["done"] == run["progress"]["total"] > 0
        return answered(self.client.get(run["links"]["result"]))


@pytest.fixture(
    scope="module",
    params=[
        "eight_fields",
        pytest.param("sierra_crest", marks=[needs_citylearn, pytest.mark.real_data]),
        pytest.param("households", marks=[needs_households, pytest.mark.real_data]),
    ],
)
def twin(request: pytest.FixtureRequest, line: CommandLine) -> Iterator[Twin]:
    """Each community in turn."""
    with line.installation.client("root_admin") as client:
        if request.param == "eight_fields":
            create(line, "eight_fields")
            yield Twin(client, "eight_fields", datetime(2026, 3, 2, tzinfo=UTC), "UTC", ())
            return
        real = request.getfixturevalue(request.param)
        zone = answered(client.get(f"/communities/{real.community_id}"))["timezone"]
        metered = {one["name"] for one in answered(client.get(f"/communities/{real.community_id}/series"))["series"]}
        yield Twin(client, real.community_id, real.end, zone, tuple(sorted(metered)))


def test_the_state_says_what_is_known_and_how_well(twin: Twin) -> None:
    state = twin.get("state")
    assert set(state["states"]) == {"demand_kw", "pv_kw", "net_load_kw", "storage_soc_kwh"}
    for name, estimate in state["states"].items():
        assert np.isfinite([estimate["mean"], estimate["sd"]]).all()
        assert estimate["sd"] > 0 or is_night(name, estimate["mean"], estimate["sd"]), name
    means = {name: estimate["mean"] for name, estimate in state["states"].items()}
    assert 0 <= means["storage_soc_kwh"] <= EIGHT_FIELDS["total_storage_capacity_kwh"]
    assert 0 <= state["coverage"] <= 1
    if twin.metered:
        assert state["coverage"] > 0.9, "all meters report"
        assert datetime.fromisoformat(state["observed_at"]) == twin.start
    else:
        assert (state["coverage"], state["observed_at"]) == (0, None)
        assert state["provenance"]["assumptions"]


def is_night(name: str, mean: Any, deviation: Any) -> Any:
    """Where it is certain that nothing is generated."""
    return (name == "pv_kw") & (np.asarray(mean) == 0) & (np.asarray(deviation) == 0)


def test_the_past_of_the_state_is_finite_where_there_were_readings(twin: Twin) -> None:
    start, end = (one.isoformat().replace("+00:00", "Z") for one in (twin.start - timedelta(days=2), twin.start))
    history = twin.get(f"state/history?start={start}&end={end}")
    coverage = np.array(history["coverage"], dtype=float)
    known = np.isfinite(coverage)
    assert known.all() if twin.metered else not known.any()
    assert ((coverage[known] >= 0) & (coverage[known] <= 1)).all()
    for name, columns in history["states"].items():
        mean, deviation = (np.array(columns[part], dtype=float) for part in ("mean", "sd"))
        assert np.isfinite(mean[known]).all()
        uncertain = ~is_night(name, mean, deviation)
        assert (deviation[known & uncertain] > 0).all()


def test_training_makes_versions_that_forecasts_name_or_says_what_is_missing(twin: Twin) -> None:
    if not twin.metered:
        problem = refused(twin.client.post(f"/communities/{twin.community_id}/forecasting/train", json={}), 409)
        assert problem["type"] == "/problems/insufficient-data"
        assert problem["found"] == 0
        assert "needs readings" in problem["detail"]
        return
    versions = answered(twin.client.get(twin.training["links"]["result"]))["trained"]
    made = {(one["variable"], one["model"]): one for one in versions if one["run_id"] == twin.training["run_id"]}
    assert {variable for variable, _ in made} == set(twin.metered)
    for one in made.values():
        assert datetime.fromisoformat(one["data_end"]) <= datetime.fromisoformat(one["as_of"]) == twin.start
        assert 0 < one["scores"]["model"]["pinball_loss_kw"] < np.inf
    forecast = twin.post("forecasting/generate", start_time=twin.start.isoformat(), horizon_hours=24)
    for variable in twin.metered:
        label = forecast["provenance"]["models"][variable]
        model, _, version = label.partition(", trained version ")
        assert version.split()[0] == str(made[variable, model]["version"])


def test_quantiles_of_a_forecast_do_not_cross(twin: Twin) -> None:
    forecast = twin.post(
        "forecasting/generate", start_time=twin.start.isoformat(), horizon_hours=24, confidence_level=0.8
    )
    assert set(forecast["variables"]) == {"load_kw", "pv_kw", "net_load_kw"}
    for name, variable in forecast["variables"].items():
        levels = sorted(variable["quantiles"], key=float)
        quantiles = np.array([variable["quantiles"][level] for level in levels])
        assert quantiles.shape == (len(levels), 96)
        assert np.isfinite(quantiles).all()
        assert (np.diff(quantiles, axis=0) >= 0).all(), name
        assert variable["lower"] == variable["quantiles"]["0.1"]
        assert variable["upper"] == variable["quantiles"]["0.9"]
        assert np.isfinite(variable["mean"]).all()
        assert name == "net_load_kw" or (quantiles >= 0).all()
    if not twin.metered:
        assert forecast["provenance"]["assumptions"]


def test_a_plan_keeps_the_balance_and_costs_what_it_says(twin: Twin) -> None:
    plan, hours = twin.plan, twin.plan["resolution_minutes"] / 60
    power = {name: np.array(values) for name, values in plan.items() if isinstance(values, list) and name != "binding"}
    drawn, fed = power["import_kw"], power["export_kw"]
    net = power["load_kw"] - power["pv_kw"] + power["charge_kw"] - power["discharge_kw"] + power["curtailed_kw"]
    np.testing.assert_allclose(drawn - fed, net, atol=SOLVED_KW)
    cost = hours * (drawn @ power["import_price_per_kwh"] - fed @ power["export_price_per_kwh"])
    assert plan["cost"] == pytest.approx(cost, abs=SOLVED_KW)
    stored = hours * (0.95 * power["charge_kw"] - power["discharge_kw"] / 0.95)
    np.testing.assert_allclose(np.diff(power["soc_kwh"]), stored[1:], atol=SOLVED_KW)
    assert stored.sum() >= -SOLVED_KW, "at the end there is as much as at the beginning"
    assert plan["soc_kwh"][-1] == pytest.approx(plan["soc_kwh"][0] - stored[0] + stored.sum(), abs=SOLVED_KW)
    for name, limit in {
        "charge_kw": "max_storage_power_kw", "discharge_kw": "max_storage_power_kw",
        "soc_kwh": "total_storage_capacity_kwh",
    }.items():  # fmt: skip
        assert (power[name] >= -SOLVED_KW).all()
        assert (power[name] <= EIGHT_FIELDS[limit] + SOLVED_KW).all()
    assert plan["savings"]["saved"] == pytest.approx(plan["savings"]["cost_without_control"] - plan["cost"])
    assert plan["savings"]["saved"] >= -SOLVED_KW
    assert twin.get(f"optimization/results/{plan['result_id']}") == plan


def test_a_tariff_spends_no_local_days_budget_beyond(twin: Twin) -> None:
    tariff = twin.tariff
    step, zone = timedelta(minutes=tariff["resolution_minutes"]), ZoneInfo(twin.timezone)
    start = datetime.fromisoformat(tariff["start"])
    before = tariff["present_tariff"]["import_price_per_kwh"]
    paid: dict[Any, Fraction] = defaultdict(Fraction)
    for place, (reference, price, demand) in enumerate(
        zip(before, tariff["import_price_per_kwh"], tariff["demand_after_kw"], strict=True)
    ):
        discount = max(Fraction(reference) - Fraction(price), Fraction(0))
        day = (start + place * step).astimezone(zone).date()
        paid[day] += discount * Fraction(demand) * Fraction(tariff["resolution_minutes"], 60)
    days = [datetime.fromisoformat(day["start"]).astimezone(zone).date() for day in tariff["days"]]
    assert days == sorted(paid)
    for day, said in zip(days, tariff["days"], strict=True):
        assert paid[day] <= Fraction(said["incentive_budget"]) * Fraction(1 + ROUNDED)
        assert said["incentive_budget"] == 3.0
        assert said["incentives_paid"] == pytest.approx(float(paid[day]), rel=ROUNDED, abs=ROUNDED)
    assert tariff["incentives_paid"] == pytest.approx(float(sum(paid.values())), rel=ROUNDED)
    assert any(amount > 3.0 * 0.99 for amount in paid.values()), "a budget this small is spent"
    assert tariff["budget_shadow_price"] > 0
    assert sum(tariff["demand_after_kw"]) > sum(tariff["demand_before_kw"]), "cheaper energy is used"
    assert tariff["welfare"]["change"] > 0
    assert twin.get(f"optimization/results/{tariff['result_id']}") == tariff


def test_scenarios_balance_energy_and_rank_by_cost(twin: Twin) -> None:
    found = twin.comparison
    scenarios = {one["scenario_id"]: one for one in found["scenarios"]}
    assert list(scenarios) == [one["scenario_id"] for one in SCENARIOS]
    for one in scenarios.values():
        mean = {name: kpi["mean"] for name, kpi in one["kpis"].items()}
        assert_balance(mean)
        for kpi in one["kpis"].values():
            assert kpi["low"] <= kpi["mean"] <= kpi["high"]
            assert all(low <= high for low, high in pairwise(kpi["quantiles"][level] for level in LEVELS))
        assert one["risk"]["cvar_95"] >= one["risk"]["var_95"] >= one["kpis"]["cost"]["quantiles"]["0.5"]
        assert (one["runs"], one["seed"], one["simulation_duration_days"]) == (RUNS, SEED, DAYS)
    assert scenarios["nothing"]["comparison"]["cost_difference"] == {"mean": 0, "low": 0, "high": 0}
    assert scenarios["no_storage"]["kpis"]["charged_kwh"]["mean"] == 0
    dearer = scenarios["dearer"]
    assert dearer["comparison"]["cost_difference"]["mean"] == pytest.approx(
        0.1 * dearer["kpis"]["imported_kwh"]["mean"], rel=1e-6
    )
    assert_ranking(found["comparison"]["ranking"], scenarios)


def assert_balance(mean: dict[str, float]) -> None:
    """Over the simulated days what came went; sums over runs keep what holds in each."""
    came = mean["generation_kwh"] + mean["imported_kwh"] + mean["discharged_kwh"]
    went = mean["load_kwh"] + mean["exported_kwh"] + mean["charged_kwh"] + mean["curtailed_kwh"]
    assert came == pytest.approx(went, rel=1e-6)
    assert 0 <= mean["self_consumption"] <= 1
    assert 0 <= mean["self_sufficiency"] <= 1


def assert_ranking(ranking: Sequence[dict[str, Any]], scenarios: dict[str, Any]) -> None:
    """Each has its own mean cost, and the cheapest comes first."""
    costs = {name: one["kpis"]["cost"]["mean"] for name, one in scenarios.items()}
    costs["as_is"] = costs["nothing"]
    assert {one["scenario_id"]: one["mean_cost"] for one in ranking} == pytest.approx(costs)
    assert all(one["mean_cost"] <= other["mean_cost"] for one, other in pairwise(ranking))
    order = [one["scenario_id"] for one in ranking]
    assert order.index("more_sun") < order.index("nothing") < order.index("dearer")


def test_the_same_seed_gives_the_same_comparison(twin: Twin) -> None:
    again = twin.simulated()
    assert again["result_id"] != twin.comparison["result_id"]
    assert again["scenarios"] == twin.comparison["scenarios"]
    assert again["comparison"] == twin.comparison["comparison"]

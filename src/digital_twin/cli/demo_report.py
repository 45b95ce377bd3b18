"""What the demo has the twin do, and the report of it, whose figures are added up once more."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from digital_twin.cli import output
from digital_twin.cli.demo_community import COMMUNITY, COMMUNITY_ID, DemoCommunity
from digital_twin.client import Document, TwinClient
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.time import floor_to_step

SCENARIOS: list[Document] = [
    {
        "scenario_id": "more_sun",
        "name": "Half as much PV again",
        "parameter_changes": {"total_pv_capacity_kw": {"multiply": 1.5}},
        "economics": {"investment": 300_000, "lifetime_years": 25, "discount_rate": 0.03},
    },
    {
        "scenario_id": "more_storage",
        "name": "Twice the storage",
        "parameter_changes": {
            "total_storage_capacity_kwh": {"multiply": 2},
            "max_storage_power_kw": {"multiply": 2},
        },
        "economics": {"investment": 350_000, "lifetime_years": 15, "discount_rate": 0.03},
    },
    {
        "scenario_id": "dear_evenings",
        "name": "Import prices a quarter higher",
        "parameter_changes": {"import_price_per_kwh": {"multiply": 1.25}},
    },
]
YEARS_SIMULATED, SEED = 20, 2026
BLOCKS = [0, 6, 10, 16, 21]
CENT = 0.005
VALUES_AT_ONCE = 300_000


@dataclass
class Findings:
    """What each step gave."""

    receipts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("received", "stored", "duplicate"), 0))
    documents: dict[str, Document] = field(default_factory=dict[str, Document])
    seconds: dict[str, float] = field(default_factory=dict[str, float])


def run_steps(client: TwinClient, now: datetime) -> Findings:
    """History, state, forecast, plan, tariff and scenarios, each with its bar."""
    found = Findings()
    with output.progress("drawing a hundred homes", 1) as advance:
        community = DemoCommunity(now)
        advance(1)
    client.put_members(COMMUNITY_ID, community.members)
    client.put_assets(COMMUNITY_ID, community.assets)
    _store(client, community, found)
    ahead = floor_to_step(datetime.now(UTC), 60) + timedelta(hours=1)
    day = {"start_time": ahead, "horizon_hours": 24}
    steps = {
        "state": ("estimating the state", lambda: client.state(COMMUNITY_ID)),
        "forecast": ("forecasting", lambda: client.forecast(COMMUNITY_ID, **day)),
        "plan": ("planning the dispatch", lambda: client.dispatch(COMMUNITY_ID, objective="minimize_cost", **day)),
        "tariff": ("designing a tariff", lambda: client.design_tariff(COMMUNITY_ID, blocks=BLOCKS, **day)),
    }
    for name, (what, ask) in steps.items():
        with output.progress(what, 1) as advance:
            started = time.monotonic()
            found.documents[name] = ask()
            found.seconds[name] = time.monotonic() - started
            advance(1)
    found.documents["scenarios"] = _simulate(client, found)
    return found


def _store(client: TwinClient, community: DemoCommunity, found: Findings) -> None:
    """The readings that the twin does not have yet."""
    known_until = _known_until(client)
    series = community.readings(known_until)
    started = time.monotonic()
    with output.progress("storing the history", sum(one.values.size for one in series)) as advance:
        for batch in _batches(series):
            receipt = client.record(COMMUNITY_ID, batch, assumed_delay_minutes=15)
            for name in found.receipts:
                found.receipts[name] += receipt[name]
            advance(sum(one.values.size for one in batch))
    found.seconds["readings"] = time.monotonic() - started


def _batches(series: Sequence[SeriesValues]) -> Iterator[list[SeriesValues]]:
    """The series in order, so many values at once."""
    batch: list[SeriesValues] = []
    for one in series:
        batch.append(one)
        if sum(kept.values.size for kept in batch) >= VALUES_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _known_until(client: TwinClient) -> Mapping[str, datetime]:
    """The last day of which readings are there, by member; of the community itself under no name."""
    days: dict[str, datetime] = {}
    for series in client.series(COMMUNITY_ID):
        if series["name"] in ("load_kw", "storage_soc_kwh"):
            days[series["member_id"] or ""] = datetime.fromisoformat(series["last_day"])
    return days


def _simulate(client: TwinClient, found: Findings) -> Document:
    started = time.monotonic()
    run = client.run_multiple(COMMUNITY_ID, SCENARIOS, monte_carlo_runs=YEARS_SIMULATED, seed=SEED)
    with output.progress("simulating scenarios", 100) as advance:
        shown = 0

        def show(now: Document) -> None:
            nonlocal shown
            done, total = now["progress"]["done"], max(1, now["progress"]["total"])
            advance(100 * done // total - shown)
            shown = 100 * done // total

        client.wait_for(run, show)
        advance(100 - shown)
    found.seconds["scenarios"] = time.monotonic() - started
    return client.simulation_result(COMMUNITY_ID, run["run_id"])


def show_report(found: Findings) -> None:
    """Everything as tables."""
    show, of = output.console.print, found.documents
    plain = [(name, value) for name, value in COMMUNITY.items() if name != "tariff"]
    show(output.table("Community", ["field", "value"], plain))
    show(output.table("Readings sent", ["what", "count"], list(found.receipts.items())))
    show(output.state_table(of["state"]))
    show(output.forecast_table(of["forecast"]))
    show(output.schedule_table(of["plan"]))
    show(output.schedule_summary(of["plan"]))
    show(output.tariff_table(of["tariff"]))
    show(output.tariff_summary(of["tariff"]))
    show(output.scenarios_table(of["scenarios"]))
    show(output.table("It adds up", ["what", "left", "right"], [row[:3] for row in sums(of)]))
    show(output.table("Time", ["step", "s"], list(found.seconds.items())))
    assumed = dict.fromkeys(line for one in of.values() for line in output.assumptions_text(one).splitlines())
    show("\n".join(assumed), style="dim", markup=False)


def adds_up(found: Findings) -> bool:
    """Whether every sum of the report comes to the same on both sides."""
    received = found.receipts["received"] == found.receipts["stored"] + found.receipts["duplicate"]
    return received and all(abs(left - right) <= tolerance for _, left, right, tolerance in sums(found.documents))


def sums(of: Mapping[str, Document]) -> list[tuple[str, float, float, float]]:
    """What must be equal, both sides, and what rounding may make of it."""
    plan, tariff = of["plan"], of["tariff"]
    return [*_of_plan(plan), *_of_tariff(tariff), *map(_of_scenario, of["scenarios"]["scenarios"])]


def _of_plan(plan: Document) -> list[tuple[str, float, float, float]]:
    hours = plan["resolution_minutes"] / 60

    def energy(name: str) -> float:
        return hours * sum(plan[name])

    def money(power: str, price: str) -> float:
        return hours * sum(kw * per_kwh for kw, per_kwh in zip(plan[power], plan[price], strict=True))

    supplied = energy("pv_kw") - energy("curtailed_kw") + energy("import_kw") + energy("discharge_kw")
    used = energy("load_kw") + energy("export_kw") + energy("charge_kw")
    cost = money("import_kw", "import_price_per_kwh") - money("export_kw", "export_price_per_kwh")
    return [
        ("energy supplied and used, kWh", supplied, used, 1e-3),
        ("cost of what crosses the meter", cost, plan["cost"], CENT),
        *(
            (f"saved against {name.replace('_', ' ')}", one["cost"] - plan["cost"], one["saved"], CENT)
            for name, one in plan["savings"]["baselines"].items()
        ),
    ]


def _of_tariff(tariff: Document) -> list[tuple[str, float, float, float]]:
    hours, welfare = tariff["resolution_minutes"] / 60, tariff["welfare"]
    revenue = hours * sum(
        kw * per_kwh for kw, per_kwh in zip(tariff["demand_after_kw"], tariff["import_price_per_kwh"], strict=True)
    )
    parts = welfare["consumer_surplus"] + welfare["operator_margin"] + welfare["pv_receipts"] - welfare["carbon_damage"]
    return [
        ("revenue of the tariff", revenue, tariff["revenue"], CENT),
        ("welfare and its parts", parts, welfare["change"], CENT),
        (
            "incentives of all days",
            sum(day["incentives_paid"] for day in tariff["days"]),
            tariff["incentives_paid"],
            CENT,
        ),
    ]


def _of_scenario(scenario: Document) -> tuple[str, float, float, float]:
    mean: dict[str, float] = {name: kpi["mean"] for name, kpi in scenario["kpis"].items()}
    supplied = mean["generation_kwh"] - mean["curtailed_kwh"] + mean["imported_kwh"] + mean["discharged_kwh"]
    used = mean["load_kwh"] + mean["exported_kwh"] + mean["charged_kwh"]
    return f"{scenario['name']}: energy, kWh", supplied, used, 1e-6 * max(1.0, used)

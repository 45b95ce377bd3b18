"""A dispatch plan of one day at 15 minutes: in process against CVXPY, PyPSA and the bare solver, and over HTTP.

Each round plans another day of the same kind (load and sun change by a few per cent), because nobody plans the same
day twice; all contestants get the same ones.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
from tests.e2e.serving import Installation

from benchmarks.dispatch_peers import OPTIMUM, BareHighs, Plan, WithCvxpy, day, with_pypsa
from benchmarks.measure import Result, Timings, milliseconds, report, rounds_asked, take_turns
from digital_twin.optimization import OBJECTIVES
from digital_twin.optimization.dispatch import plan_dispatch

TOLERANCE = 1e-4
PYPSA_ROUNDS = 5
WARM_UP = 5
WEIGHTS = OBJECTIVES["minimize_cost"]


def ours(number: int) -> float:
    """The product's plan: solved, its ties broken, checked, accounted."""
    return plan_dispatch(day(number), WEIGHTS).cost


class OverHttp:
    """The same plan asked of a running server, with every array in the request."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._path = "/communities/compared_day"
        body = {
            "community_id": "compared_day", "num_prosumers": 100, "total_pv_capacity_kw": 800,
            "total_storage_capacity_kwh": 1000, "max_storage_power_kw": 200, "grid_import_limit_kw": 800,
            "grid_export_limit_kw": 300, "incentive_budget_daily": 0,
        }  # fmt: skip
        client.post("/communities", json=body).raise_for_status()

    def plan(self, number: int) -> float:
        outlook = day(number).outlook
        body = {
            "objective": "minimize_cost",
            "start_time": outlook.grid.start.isoformat(),
            "horizon_hours": 24,
            "resolution_minutes": 15,
            "load_kw": outlook.load_kw.tolist(),
            "pv_kw": outlook.pv_kw.tolist(),
            "import_price_per_kwh": outlook.import_price_per_kwh.tolist(),
            "export_price_per_kwh": outlook.export_price_per_kwh.tolist(),
            "emission_factor_kg_per_kwh": outlook.emission_factor_kg_per_kwh.tolist(),
            "current_soc_kwh": 500,
        }
        answer = self._client.post(f"{self._path}/optimization/dispatch", json=body)
        answer.raise_for_status()
        return float(answer.json()["objective_value"])

    def get(self, _: int) -> None:
        self._client.get(self._path).raise_for_status()


def check_agreement(contestants: Mapping[str, Plan]) -> None:
    """All find the same optimum; a fast wrong answer is worth nothing."""
    for name, plan in contestants.items():
        found = plan(0)
        if abs(found - OPTIMUM) > TOLERANCE:
            raise RuntimeError(f"{name} finds {found}, not {OPTIMUM}")


def measure_in_process(rounds: int) -> Timings:
    cvxpy = WithCvxpy()
    program = cvxpy.linear_program()
    contestants: dict[str, Plan] = {
        "ours: solved, checked, accounted": ours,
        "CVXPY with DPP parameters, HiGHS": cvxpy,
        "floor: HiGHS alone, warm basis": BareHighs(program, warm=True),
        "floor: HiGHS alone, cold": BareHighs(program, warm=False),
    }
    check_agreement(contestants)
    return take_turns(contestants, rounds=rounds, warm_up=WARM_UP, clock=time.process_time)


def measure_pypsa() -> Timings | None:
    """PyPSA takes hundreds of times longer, so it gets a few rounds of its own."""
    plan = with_pypsa()
    if plan is None:
        return None
    contestants = {"ours": ours, "PyPSA, direct interface, HiGHS": plan}
    check_agreement(contestants)
    return take_turns(contestants, rounds=PYPSA_ROUNDS, clock=time.process_time)


def measure_over_http(rounds: int) -> Timings:
    with tempfile.TemporaryDirectory() as home:
        twin = Installation(Path(home), with_worker=False)
        twin.create_administrator()
        twin.start()
        try:
            with twin.client("root_admin") as client:
                http = OverHttp(client)
                check_agreement({"ours": ours, "over HTTP": http.plan})
                contestants: dict[str, Callable[[int], object]] = {
                    "ours in process": ours,
                    "POST .../optimization/dispatch": http.plan,
                    "GET /communities/{id}, authenticated": http.get,
                }
                return take_turns(contestants, rounds=rounds, warm_up=WARM_UP)
        finally:
            twin.stop()


def rows_against(timings: Timings) -> list[list[str]]:
    """One row each; the first contestant is what the others are compared with."""
    reference = next(iter(timings.seconds))
    return [
        [name, milliseconds(timings.of(name)), "1" if name == reference else timings.ratio(name, reference).text()]
        for name in timings.seconds
    ]


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 60)
    for number in range(-WARM_UP, rounds):
        day(number)  # made beforehand: it is nobody's work
    rows = rows_against(measure_in_process(rounds))
    notes = [f"All agree on the objective of day 0: {OPTIMUM} within {TOLERANCE:g}."]
    pypsa = measure_pypsa()
    if pypsa is None:
        notes.append("Skipped: PyPSA is not installed (`pip install pypsa`).")
    else:
        rows += rows_against(pypsa)[1:]
    logging.getLogger("httpx").setLevel(logging.WARNING)
    over_http = measure_over_http(rounds)
    rows += rows_against(over_http)[1:]
    to_get = over_http.ratio("POST .../optimization/dispatch", "GET /communities/{id}, authenticated")
    notes.append(f"The plan over HTTP takes {to_get.text()} times as long as the authenticated GET.")
    columns = ("dispatch, T=96", "ms: median (quartiles)", "x ours in process")
    notes.append("In process the clock is the processor's (one thread), over HTTP the wall's.")
    report(Result("dispatch", columns, rows, notes), "scripts/bench dispatch")


if __name__ == "__main__":
    main()

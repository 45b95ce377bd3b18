"""A dispatch plan of one day at 15 minutes: in process against peers and the bare solver, and over HTTP.

Each round plans another day of the same kind (load and sun change by a few per cent), because nobody plans the same
day twice; all contestants get the same ones. In process everyone plans three other days before the one that counts:
who takes a thousand times as long would leave nothing of the other's in the caches of the processor.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
from tests.e2e.serving import Installation

from benchmarks.dispatch_modellers import with_linopy, with_pyomo, with_pypsa
from benchmarks.dispatch_peers import OPTIMUM, BareHighs, Plan, WithCvxpy, day
from benchmarks.environments import prepare_environment
from benchmarks.flexmeasures_server import NAME as FLEXMEASURES
from benchmarks.flexmeasures_server import installed, variables_of
from benchmarks.given_postgres import create_database, is_installed, postgres_server
from benchmarks.measure import Result, Timings, milliseconds, report, rounds_asked, take_turns
from benchmarks.peer_process import PeerProcess
from digital_twin.optimization import OBJECTIVES
from digital_twin.optimization.blocks import Shape, build, numbers_of, prices_of
from digital_twin.optimization.compiled import CompiledModel
from digital_twin.optimization.dispatch import plan_dispatch

TOLERANCE = 1e-4
SLOW_ROUNDS = 5
"""Of those that take hundreds of times longer."""
SETTLING = 3
"""Days that are planned before each that counts."""

HTTP_ROUNDS = 200
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


class Compiled:
    """What of it answers the question of a bare model: the compiled program solved, whichever plan is optimal."""

    def __init__(self) -> None:
        self._model = CompiledModel(build(Shape.of(day(0), WEIGHTS)))

    def __call__(self, number: int) -> float:
        problem = day(number)
        stages = [prices_of(problem, WEIGHTS)]
        return self._model.solve(numbers_of(problem), stages, time_limit_s=60.0).bound


def measure_in_process(rounds: int) -> Timings:
    cvxpy = WithCvxpy()
    program = cvxpy.linear_program()
    contestants: dict[str, Plan] = {
        "ours: solved, ties broken, checked, accounted": ours,
        "ours: solved": Compiled(),
        "CVXPY with DPP parameters, HiGHS": cvxpy,
        "floor: HiGHS alone, warm basis": BareHighs(program, warm=True),
        "floor: HiGHS alone, cold": BareHighs(program, warm=False),
    }
    check_agreement(contestants)
    return take_turns(contestants, rounds=rounds, warm_up=WARM_UP, settle=other_days, clock=time.process_time)


def other_days(number: int) -> list[int]:
    """Those that are planned before the day of this number, once everything is warmed up."""
    return [number + 500 * (1 + other) for other in range(SETTLING)] if number >= 0 else []


def measure_modellers() -> Timings:
    """Pyomo either way; linopy and PyPSA write their models anew."""
    made = {
        "Pyomo APPSI, its model kept": with_pyomo(is_kept=True),
        "Pyomo APPSI, its model written anew": with_pyomo(is_kept=False),
        "linopy, direct interface, HiGHS": with_linopy(),
        "PyPSA, direct interface, HiGHS": with_pypsa(),
    }
    contestants = {"ours": ours} | {name: plan for name, plan in made.items() if plan is not None}
    check_agreement(contestants)
    return take_turns(contestants, rounds=SLOW_ROUNDS, settle=other_days, clock=time.process_time)


@contextmanager
def emhass(home: Path) -> Iterator[PeerProcess]:
    python = prepare_environment("emhass")
    with closing(PeerProcess([python, "-P", _script("emhass_days")], environment=None, home=home)) as peer:
        yield peer


@contextmanager
def flexmeasures(home: Path) -> Iterator[PeerProcess]:
    """Its scheduler, which reads what it plans with from its database."""
    python = prepare_environment(FLEXMEASURES)
    with postgres_server() as address, installed(home, create_database(address, "peer")):
        command = [python, "-P", _script("flexmeasures_days")]
        with closing(PeerProcess(command, environment=variables_of(home), home=home)) as peer:
            yield peer


APART = {"EMHASS, its problem kept": emhass, "FlexMeasures, its scheduler in process": flexmeasures}


def measure_apart(name: str) -> Timings:
    """A peer in a process of its own and we, in turn; both tell the seconds of their own processor."""
    seconds: dict[str, list[float]] = {"ours": [], name: []}
    with tempfile.TemporaryDirectory() as folder, APART[name](Path(folder)) as peer:
        check_agreement({name: lambda number: peer.plan(day(number), number)[0]})
        for number in range(1, SLOW_ROUNDS + 1):
            for other in (*other_days(number), number):
                theirs = peer.plan(day(other), other)[1]
            seconds[name].append(theirs)
            for other in other_days(number):
                ours(other)
            started = time.process_time()
            ours(number)
            seconds["ours"].append(time.process_time() - started)
    return Timings({one: np.array(found) for one, found in seconds.items()})


def _script(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.py")


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
    for number in range(-WARM_UP, max(rounds, HTTP_ROUNDS)):
        for made_beforehand in (number, *other_days(number)):  # it is nobody's work
            day(made_beforehand)
    in_process = measure_in_process(rounds)
    rows = rows_against(in_process)
    to_solved = in_process.ratio("CVXPY with DPP parameters, HiGHS", "ours: solved")
    notes = [
        f"All agree on the objective of day 0: {OPTIMUM} within {TOLERANCE:g}.",
        f"CVXPY, which only solves, takes {to_solved.text()} times as long as ours does for that.",
    ]
    rows += rows_against(measure_modellers())[1:]
    for name in APART:
        if name.startswith("FlexMeasures") and not (is_installed() and shutil.which("redis-server")):
            notes.append(f"Skipped: {name}, which needs the system's PostgreSQL and redis-server.")
            continue
        rows += rows_against(measure_apart(name))[1:]
    logging.getLogger("httpx").setLevel(logging.WARNING)
    over_http = measure_over_http(HTTP_ROUNDS)
    rows += rows_against(over_http)[1:]
    to_get = over_http.ratio("POST .../optimization/dispatch", "GET /communities/{id}, authenticated")
    notes.append(f"The plan over HTTP takes {to_get.text()} times as long as the authenticated GET.")
    half, nearly_all = 1e3 * np.quantile(over_http.seconds["POST .../optimization/dispatch"], (0.5, 0.99))
    notes.append(f"Of {HTTP_ROUNDS} plans over HTTP half took up to {half:.0f} ms, 99 % up to {nearly_all:.0f} ms.")
    columns = ("dispatch, T=96", "ms: median (quartiles)", "x ours in process")
    notes.append("In process the clock is the processor's (one thread), over HTTP the wall's.")
    report(Result("dispatch", columns, rows, notes), "scripts/bench dispatch")


if __name__ == "__main__":
    main()

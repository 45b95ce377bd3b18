"""What if: scenarios as Runs, simulated side by side on the same drawn years."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.services.access import Grant
from digital_twin.services.computations import simulate_part
from digital_twin.services.ports import Clock, Run, Store, StoredResult, Transaction
from digital_twin.services.provenance import Provenance
from digital_twin.services.runs import SIMULATION, RunningRun, RunService
from digital_twin.services.simulation_document import Simulated, comparison_document, scenario_documents
from digital_twin.services.simulation_inputs import MOST_PROFILES, known_year, terms_of
from digital_twin.simulation.base_year import DAYS
from digital_twin.simulation.economics import Investment
from digital_twin.simulation.known_year import KnownYear
from digital_twin.simulation.outcomes import Outcomes
from digital_twin.simulation.scenario import AS_IS, Policy, Scenario, Setting, setting_of
from digital_twin.simulation.terms import Terms, has_fixed_shares

KIND = "simulation"
ONE, MANY = "scenario", "scenarios"
"""Kinds of results."""

MAX_RUNS = 10_000
FIRST_RUNS = 40
"""Runs before the precision is looked at; twice as many each time that it does not suffice."""

MOST_HOME_DAYS = 2e9
"""Days x homes x runs x scenarios of one Run: about a quarter of an hour of one core."""

PARTS, MOST_RUNS_A_PART, HOMES_PER_RUN = 20, 10, 50
"""Runs are spread over so many parts or more; a part is a pure function of the seed and its first run's number."""

PART_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """Scenarios, and how many years of each; one of `runs` and `target_precision`."""

    scenarios: tuple[Scenario, ...]
    days: int
    runs: int | None
    target_precision: float | None
    seed: int | None
    as_of: datetime | None
    is_comparison: bool


class SimulationService:
    """Use cases around scenarios."""

    def __init__(self, store: Store, clock: Clock, runs: RunService) -> None:
        self._store = store
        self._clock = clock
        self._runs = runs

    async def submit(self, grant: Grant, request: SimulationRequest) -> Run:
        """A Run that simulates them.

        Raises:
            InvalidInput: an unknown parameter, a change that leads out of range, two scenarios of one id, or more work
                than one Run may be.
            InsufficientData: fixed shares without every member's coefficient.
        """
        now = self._clock.now()
        if request.as_of is not None and request.as_of > now:
            raise InvalidInput("as_of must not lie in the future", field="as_of")
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            settings = settings_of(request, community)
            await _check_coefficients(tx, settings)
            _check_size(request, settings, community)
            document = _kept(request, request.as_of or now)
            return await self._runs.add(tx, grant, KIND, document, queue=SIMULATION)

    async def carry_out(self, run: RunningRun) -> StoredResult:
        """Simulate part by part until there are enough runs, and sum up."""
        request, as_of = _request_of(run.request), datetime.fromisoformat(run.request["as_of"])
        assert request.seed is not None
        provenance = Provenance(as_of)
        async with self._store.community(run.community_id) as tx:
            community = (await tx.communities.get(run.community_id)).community
            settings = settings_of(request, community)
            known = await known_year(tx, community, settings, provenance)
        terms = terms_of(community, settings, known, days=request.days, seed=request.seed)
        outcomes = await _simulate(run, request, known, terms)
        simulated = Simulated(request.scenarios, settings, known, terms, outcomes)
        documents = scenario_documents(simulated, provenance)
        document: dict[str, Any] = {"result_id": run.run_id}
        if request.is_comparison:
            document |= {"scenarios": documents, "comparison": comparison_document(simulated)}
            document["provenance"] = provenance.to_document()
        else:
            document |= documents[0]
        return StoredResult(run.run_id, MANY if request.is_comparison else ONE, self._clock.now(), document)

    async def result(self, grant: Grant, result_id: str) -> StoredResult:
        """What scenarios came to. Raises NotFound."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.results.get(result_id, (ONE, MANY))


async def _simulate(run: RunningRun, request: SimulationRequest, known: KnownYear, terms: Terms) -> Outcomes:
    """The runs that are asked for, or as many as the precision takes."""
    found: list[Outcomes] = []
    done = 0
    for wanted in _stages(request):
        size = _part_size(wanted - done, known)
        arguments = [(known, terms, first, min(size, wanted - first)) for first in range(done, wanted, size)]
        parts = await run.map(simulate_part, arguments, timeout_s=PART_TIMEOUT_S)
        found = [Outcomes.joined([*found, *(Outcomes.from_bytes(part) for part in parts)])]
        done = wanted
        if request.target_precision is not None and found[0].is_precise(request.target_precision):
            break
    return found[0]


def _part_size(runs: int, known: KnownYear) -> int:
    """Runs per part: few, so that progress shows, but not so few that handing over the homes takes the time."""
    heavy = 1 if known.load_kw is None else 1 + known.load_kw.shape[1] // HOMES_PER_RUN
    return min(MOST_RUNS_A_PART, max(-(-runs // PARTS), heavy))


def settings_of(request: SimulationRequest, community: Community) -> tuple[Setting, ...]:
    """The community as it is, and each scenario's numbers. Raises InvalidInput, whose field names the scenario."""
    seen = {AS_IS}
    settings = [setting_of(community)]
    for place, scenario in enumerate(request.scenarios):
        at = f"scenarios.{place}." if request.is_comparison else ""
        if scenario.scenario_id in seen:
            raise InvalidInput(
                f"every scenario needs an id of its own other than {AS_IS!r}, {scenario.scenario_id!r} is taken",
                field=f"{at}scenario_id",
            )
        seen.add(scenario.scenario_id)
        try:
            settings.append(scenario.setting(community))
        except InvalidInput as error:
            raise InvalidInput(error.message, field=f"{at}{error.facts['field']}") from error
        if scenario.investment is not None and request.days < DAYS:
            raise InvalidInput(
                f"economics needs a whole year: simulation_duration_days must be at least {DAYS}, got {request.days}",
                field="simulation_duration_days",
            )
    return tuple(settings)


async def _check_coefficients(tx: Transaction, settings: Sequence[Setting]) -> None:
    if not any(has_fixed_shares(setting.sharing_rule) for setting in settings):
        return
    members = await tx.members.members()
    missing = [one.member_id for one in members if one.sharing_coefficient is None]
    if missing or not members:
        raise InsufficientData(
            "fixed shares (static, hybrid) need members with readings and the sharing_coefficient of each; "
            "give them with POST .../members, or choose dynamic",
            missing=len(missing),
        )


def _check_size(request: SimulationRequest, settings: Sequence[Setting], community: Community) -> None:
    profiles = 1 if all(one.is_one_meter for one in settings) else min(community.num_prosumers, MOST_PROFILES)
    runs = MAX_RUNS if request.runs is None else request.runs
    work = profiles * request.days * runs * len(settings)
    if request.runs is not None and work > MOST_HOME_DAYS:
        raise InvalidInput(
            f"{work:.3g} home-days are more than the {MOST_HOME_DAYS:.3g} of one run; "
            "ask for fewer scenarios, runs or days",
            field="monte_carlo_runs",
        )


def _stages(request: SimulationRequest) -> list[int]:
    """How many runs there are after each look at the precision."""
    if request.target_precision is None:
        assert request.runs is not None
        return [request.runs]
    stages = [FIRST_RUNS]
    while 2 * stages[-1] <= MAX_RUNS:
        stages.append(2 * stages[-1])
    return stages


def _kept(request: SimulationRequest, as_of: datetime) -> dict[str, Any]:
    """The request as a Run keeps it; what was left open is decided here, so that every attempt does the same."""
    return {
        "scenarios": [
            {
                "scenario_id": one.scenario_id,
                "parameter_changes": dict(one.parameter_changes),
                "name": one.name,
                "description": one.description,
                "policy": one.policy.value,
                "investment": None if one.investment is None else asdict(one.investment),
            }
            for one in request.scenarios
        ],
        "days": request.days,
        "runs": request.runs,
        "target_precision": request.target_precision,
        "seed": secrets.randbits(31) if request.seed is None else request.seed,
        "as_of": as_of.isoformat(),
        "is_comparison": request.is_comparison,
    }


def _request_of(kept: dict[str, Any]) -> SimulationRequest:
    scenarios = tuple(
        Scenario(
            **{name: one[name] for name in ("scenario_id", "parameter_changes", "name", "description")},
            policy=Policy(one["policy"]),
            investment=None if one["investment"] is None else Investment(**one["investment"]),
        )
        for one in kept["scenarios"]
    )
    names = ("days", "runs", "target_precision", "seed", "is_comparison")
    return SimulationRequest(
        scenarios, **{name: kept[name] for name in names}, as_of=datetime.fromisoformat(kept["as_of"])
    )

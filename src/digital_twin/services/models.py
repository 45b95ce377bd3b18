"""Forecasting models that are trained by Runs: kept in versions, each with its scores."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.forecasting.auto import LONGEST_GAP_DAYS, preferred_models
from digital_twin.forecasting.forecast import History
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.held_out import Scores, require_history, task_at
from digital_twin.forecasting.model_bytes import FORMAT, from_bytes
from digital_twin.forecasting.registry import (
    ModelDescription,
    describe_model,
    list_models,
    models_to_train,
    require_learning,
)
from digital_twin.forecasting.worth import worth_of
from digital_twin.services.access import Grant
from digital_twin.services.computations import train_model
from digital_twin.services.forecasts import VARIABLES, ForecastRequest, ForecastService
from digital_twin.services.past_weather import FORESEEN_DAYS, as_foreseen
from digital_twin.services.ports import Clock, Run, Store, TrainedVersion, Transaction
from digital_twin.services.provenance import CODE_VERSION, fingerprint_of, instant_text
from digital_twin.services.runs import FORECASTING, Keep, RunningRun, RunService

KIND = "training"
RESOLUTION_MINUTES = 15
"""What is forecast unless asked otherwise; readings of longer intervals are learned from as they are."""

TIMEOUT_S = 600.0

RECENT_RUNS = 100
"""Among so many a training that is under way is looked for."""

Pair = tuple[str, str]
"""A variable and a model."""


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train: without a word about it, what `auto` takes for every variable that can be forecast."""

    variables: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    as_of: datetime | None = None


class ModelService:
    """Use cases around forecasting models."""

    def __init__(self, store: Store, clock: Clock, runs: RunService, forecasts: ForecastService) -> None:
        self._store = store
        self._clock = clock
        self._runs = runs
        self._forecasts = forecasts

    async def known(self, grant: Grant) -> tuple[list[ModelDescription], list[TrainedVersion]]:
        """The registered models, and the versions that were trained."""
        async with self._store.community(str(grant.community_id)) as tx:
            return list_models(), await tx.trained_models.all()

    async def train(self, grant: Grant, request: TrainingRequest) -> Run:
        """A Run that trains what was asked for, from what was known at one instant.

        Raises:
            InvalidInput: a model that is unknown, has nothing to learn, or forecasts none of the variables.
            InsufficientData: there is too little to learn from and be judged on.
        """
        now = self._clock.now()
        as_of = request.as_of or now
        if as_of > now:
            raise InvalidInput("as_of must not lie in the future", field="as_of")
        wanted = pairs_of(request.variables or VARIABLES, request.models)
        async with self._store.community(str(grant.community_id)) as tx:
            stored = await tx.communities.get(str(grant.community_id))
            tasks = await self.tasks(tx, stored.community, wanted, as_of)
            chosen = _enough(tasks, wanted, is_asked_for=request.variables is not None)
            document = {"pairs": [list(pair) for pair in chosen], "as_of": instant_text(as_of)}
            return await self._runs.add(tx, grant, KIND, document, queue=FORECASTING)

    async def retrain(self, tx: Transaction, community: Community) -> Run | None:
        """A Run of the twin's own that trains what `auto` stands for; None while a training is under way.

        What ended so long ago that nothing is forecast from it is not trained.

        Raises:
            InsufficientData: there is too little to learn from and be judged on.
        """
        recent = await tx.runs.page(before=None, limit=RECENT_RUNS)
        if any(run.kind == KIND and not run.state.has_ended for run in recent):
            return None
        as_of = self._clock.now()
        found = await self.tasks(tx, community, pairs_of(VARIABLES, None), as_of)
        oldest = as_of - timedelta(days=LONGEST_GAP_DAYS)
        tasks = {variable: task for (variable, _), task in found.items() if task.history.grid.end >= oldest}
        chosen = [
            (variable, model) for variable, task in tasks.items() if (model := _best_that_learns(task)) is not None
        ]
        if not chosen:
            raise InsufficientData("there is no variable with enough readings to learn from and be judged on", found=0)
        document = {"pairs": [list(pair) for pair in chosen], "as_of": instant_text(as_of)}
        return await self._runs.add_own(tx, community.community_id, KIND, document, queue=FORECASTING)

    async def carry_out(self, run: RunningRun) -> Keep:
        """Fit and judge each pair as a part; all become new versions when the Run succeeds."""
        as_of = datetime.fromisoformat(run.request["as_of"])
        pairs = [(variable, model) for variable, model in run.request["pairs"]]
        async with self._store.community(run.community_id) as tx:
            stored = await tx.communities.get(run.community_id)
            found = await self.tasks(tx, stored.community, pairs, as_of)
        tasks = [_required(found, pair) for pair in pairs]
        calls = [(model, task) for (_, model), task in zip(pairs, tasks, strict=True)]
        payloads = await run.map(train_model, calls, timeout_s=TIMEOUT_S)
        trained_at = self._clock.now()
        versions = [
            _version(model, task, payload, run.run_id, trained_at)
            for (model, task), payload in zip(calls, payloads, strict=True)
        ]

        async def keep(tx: Transaction) -> None:
            for version, payload in zip(versions, payloads, strict=True):
                await tx.trained_models.add(version, payload)

        return keep

    async def tasks(
        self,
        tx: Transaction,
        community: Community,
        pairs: Sequence[Pair],
        as_of: datetime,
        *,
        foreseen_days: int = FORESEEN_DAYS,
    ) -> dict[Pair, TrainingTask]:
        """What each pair would learn from; those without readings are left out."""
        day = TimeGrid(floor_to_step(as_of, 60), 1440 // RESOLUTION_MINUTES, RESOLUTION_MINUTES)
        request = ForecastRequest(day, model=pairs[0][1], as_of=as_of)
        gathered = await self._forecasts.gather(tx, community, request)
        gathered = replace(gathered, weather=await as_foreseen(tx, gathered.weather, as_of, days=foreseen_days))
        foreseen: dict[str, History] = {}
        for variable in gathered.histories:
            history = gathered.task(variable, day).foreseen
            if history is not None:
                foreseen[variable] = history
        tasks = {
            variable: TrainingTask(variable, gathered.site, history, as_of) for variable, history in foreseen.items()
        }
        return {(variable, model): tasks[variable] for variable, model in pairs if variable in tasks}


def pairs_of(variables: Sequence[str], models: Sequence[str] | None) -> list[Pair]:
    """Each variable with each of the models that can forecast it; without names with the one that `auto` takes.

    Raises:
        InvalidInput: a model is unknown or has nothing to learn, or no pair is left.
    """
    require_learning(models or ())
    found = {variable: models_to_train(variable, models) for variable in VARIABLES if variable in variables}
    reached = {name for names in found.values() for name in names}
    for name in models or ():
        if name not in reached:
            able = ", ".join(describe_model(name).variables)
            raise InvalidInput(f"the model {name} forecasts {able} only", field="models")
    return [(variable, name) for variable, names in found.items() for name in names]


def _enough(found: dict[Pair, TrainingTask], wanted: Sequence[Pair], *, is_asked_for: bool) -> list[Pair]:
    """The pairs with enough history; a variable that was asked for by name must have it."""
    kept: list[Pair] = []
    missing: InsufficientData | None = None
    for pair in wanted:
        try:
            require_history(pair[1], _required(found, pair))
        except InsufficientData as error:
            if is_asked_for:
                raise
            missing = missing or error
        else:
            kept.append(pair)
    if missing is not None and not kept:
        raise missing
    return kept


def _best_that_learns(task: TrainingTask) -> str | None:
    """The best model that `auto` stands for on the day after the history, of those that there is enough history for."""
    try:
        preferred = preferred_models(task_at(task, task.history.grid.steps))
    except InsufficientData:
        return None
    for model in preferred:
        try:
            require_history(model, task)
        except InsufficientData:
            continue
        if describe_model(model).learns:
            return model
    return None


def _required(found: dict[Pair, TrainingTask], pair: Pair) -> TrainingTask:
    if pair not in found:
        variable, model = pair
        raise InsufficientData(f"training {model} needs readings of {variable}, found none", found=0)
    return found[pair]


def _version(model: str, task: TrainingTask, payload: bytes, run_id: str, trained_at: datetime) -> TrainedVersion:
    fitted, scores = from_bytes(payload)
    history = task.history
    return TrainedVersion(
        variable=task.variable,
        model=model,
        run_id=run_id,
        trained_at=trained_at,
        as_of=task.as_of,
        data_start=history.grid.start,
        data_end=history.grid.end,
        data_sha256=fingerprint(task),
        resolution_minutes=history.grid.step_minutes,
        code_version=CODE_VERSION,
        payload_format=FORMAT,
        sha256=hashlib.sha256(payload).hexdigest(),
        scores=_scores(scores),
        ensemble=worth_of(fitted.fitted),
    )


def fingerprint(task: TrainingTask) -> str:
    """Of everything that it holds to learn from."""
    history = task.history
    return fingerprint_of([history.values, *(history.weather[name] for name in sorted(history.weather))])


def _scores(scores: Scores) -> dict[str, Any]:
    return asdict(scores) | {"start": instant_text(scores.start), "end": instant_text(scores.end)}

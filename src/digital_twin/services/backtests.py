"""How models would have done on a community's last days: asked for as Runs, judged beside the seasonal naive."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.forecasting.backtest_days import BacktestDays, BacktestScore, loss_by_hour, score_of
from digital_twin.forecasting.forecast import VARIABLES
from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.past_days import whole_days
from digital_twin.forecasting.registry import describe_model, find_forecaster
from digital_twin.services.access import Grant
from digital_twin.services.computations import backtest_model
from digital_twin.services.models import ModelService, Pair, fingerprint
from digital_twin.services.ports import Clock, Run, Store, StoredResult
from digital_twin.services.provenance import CODE_VERSION, instant_text
from digital_twin.services.runs import FORECASTING, RunningRun, RunService

KIND = "backtest"
YARDSTICK = "seasonal_naive"
MOST_DAYS = 56
TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """Which models to ask at the last midnights before `as_of`, each fitted anew every so many days."""

    models: tuple[str, ...]
    variables: tuple[str, ...] | None = None
    days: int = 28
    refit_days: int = 7
    as_of: datetime | None = None


class BacktestService:
    """Use cases around backtests."""

    def __init__(self, store: Store, clock: Clock, runs: RunService, models: ModelService) -> None:
        self._store = store
        self._clock = clock
        self._runs = runs
        self._models = models

    async def submit(self, grant: Grant, request: BacktestRequest) -> Run:
        """A Run that backtests what was asked for and the seasonal naive beside it.

        Raises:
            InvalidInput: a model that is unknown or forecasts none of the variables.
            InsufficientData: there is too little to learn from before the days.
        """
        now = self._clock.now()
        as_of = request.as_of or now
        if as_of > now:
            raise InvalidInput("as_of must not lie in the future", field="as_of")
        wanted = _pairs(request)
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            tasks = await self._models.tasks(tx, community, wanted, as_of)
            chosen = _enough(tasks, wanted, request)
            document = {
                "pairs": [list(pair) for pair in chosen],
                "days": request.days,
                "refit_days": request.refit_days,
                "as_of": instant_text(as_of),
            }
            return await self._runs.add(tx, grant, KIND, document, queue=FORECASTING)

    async def carry_out(self, run: RunningRun) -> StoredResult:
        """Each model and variable is a part."""
        as_of = datetime.fromisoformat(run.request["as_of"])
        days, refit_days = run.request["days"], run.request["refit_days"]
        pairs = [(variable, model) for variable, model in run.request["pairs"]]
        async with self._store.community(run.community_id) as tx:
            community = (await tx.communities.get(run.community_id)).community
            tasks = await self._models.tasks(tx, community, pairs, as_of)
        if missing := sorted({variable for variable, _ in set(pairs) - set(tasks)}):
            raise InsufficientData(f"there are no readings of {', '.join(missing)} any more", found=0)
        calls = [(pair[1], tasks[pair], days, refit_days) for pair in pairs]
        parts = await run.map(backtest_model, calls, timeout_s=TIMEOUT_S)
        found = {pair: BacktestDays.from_bytes(part) for pair, part in zip(pairs, parts, strict=True)}
        document = {
            "result_id": run.run_id,
            "as_of": instant_text(as_of),
            "days": days,
            "refit_days": refit_days,
            "variables": _variables(found),
            "provenance": {
                "code_version": CODE_VERSION,
                "data_sha256": {variable: fingerprint(task) for (variable, _), task in tasks.items()},
            },
        }
        return StoredResult(run.run_id, KIND, self._clock.now(), document)

    async def result(self, grant: Grant, result_id: str) -> StoredResult:
        """What a backtest came to. Raises NotFound."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.results.get(result_id, (KIND,))


def _pairs(request: BacktestRequest) -> list[Pair]:
    """Each variable with each model that can forecast it, and with the seasonal naive.

    Raises:
        InvalidInput: a model is unknown, or forecasts none of the variables.
    """
    variables = [one for one in VARIABLES if request.variables is None or one in request.variables]
    for model in request.models:
        known = describe_model(model).variables
        if not set(known) & set(variables):
            raise InvalidInput(f"the model {model} forecasts {', '.join(known)} only", field="models")
    models = dict.fromkeys((YARDSTICK, *request.models))
    return [(variable, one) for variable in variables for one in models if variable in describe_model(one).variables]


def _enough(found: dict[Pair, TrainingTask], wanted: Sequence[Pair], request: BacktestRequest) -> list[Pair]:
    """The pairs with enough history; a variable that was asked for by name must have it."""
    kept: list[Pair] = []
    missing: InsufficientData | None = None
    for pair in wanted:
        try:
            _require(pair, found.get(pair), request)
        except InsufficientData as error:
            if request.variables is not None:
                raise
            missing = missing or error
        else:
            kept.append(pair)
    if missing is not None and not any(model in request.models for _, model in kept):
        raise missing
    return kept


def _require(pair: Pair, task: TrainingTask | None, request: BacktestRequest) -> None:
    """Raises InsufficientData when the model could not learn before the first day that it is asked."""
    variable, model = pair
    needed = max(find_forecaster(model).needed_days, find_forecaster(YARDSTICK).needed_days)
    before = 0.0 if task is None else _days_before(task, request.days)
    if before < needed:
        raise InsufficientData(
            f"a backtest of {model} on {variable} needs {needed:g} days of readings before the {request.days} days "
            f"that it is asked, found {before:.1f}; ask for fewer days",
            needed=needed,
            found=round(before, 1),
        )


def _days_before(task: TrainingTask, days: int) -> float:
    """Days' worth of readings before the last so many whole days."""
    asked = whole_days(task.history.grid, task.site.timezone).latest(days)
    if asked.day.size < days:
        return 0.0
    known = np.isfinite(task.history.values[: int(asked.first[0])])
    return float(known.sum() * task.history.grid.step_hours / 24)


def _variables(found: dict[Pair, BacktestDays]) -> dict[str, Any]:
    """By variable: each model's scores, and its loss on each day and in each hour."""
    documents: dict[str, Any] = {}
    for (variable, model), days in found.items():
        naive = found[variable, YARDSTICK]
        document = documents.setdefault(variable, _empty(days))
        document["models"][model] = _score(score_of(days, naive))
        document["by_day"][model] = [None if np.isnan(loss) else float(loss) for loss in days.loss_kw]
        document["by_hour"][model] = loss_by_hour(days)
    return documents


def _empty(days: BacktestDays) -> dict[str, Any]:
    return {"models": {}, "by_day": {"day": _dates(days)}, "by_hour": {}}


def _score(score: BacktestScore) -> dict[str, Any]:
    return {
        "days": score.days,
        "pinball_loss_kw": score.pinball_loss_kw,
        "relative_loss": score.relative_loss,
        **{f"coverage_{100 * level:.0f}": share for level, share in score.coverage.items()},
        "naive_ratio": None if score.naive_ratio is None else asdict(score.naive_ratio),
    }


def _dates(days: BacktestDays) -> list[str]:
    return [str(day) for day in days.day.astype("datetime64[D]")]

"""Runs as they are answered."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import PLAIN_DIGITS, Answer, Body, Cursor, Identifier, Instant, Page
from digital_twin.services.ports import Run, RunState

RESULT_PATHS = {
    "backtest": "/communities/{}/forecasting/backtest/{}",
    "member_dispatch": "/communities/{}/optimization/results/{}",
    "import": "/communities/{}/readings/imports/{}",
    "training": "/communities/{}/forecasting/models",
    "simulation": "/communities/{}/simulation/results/{}",
}
"""Where the result of each kind of Run is."""


def _is_none(value: Any) -> bool:
    return value is None


LEFT_OUT_WHEN_NONE = Field(default=None, exclude_if=_is_none)


class Progress(Answer):
    """Finished parts of those known so far."""

    done: int
    total: int


class RunLinks(Answer):
    """Where to look."""

    self: str
    result: str | None = LEFT_OUT_WHEN_NONE


class RunProblem(Answer):
    """Why a Run failed, as the problem that a request would have been answered with."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    detail: str


class RunAnswer(Answer):
    """A long computation and where it stands."""

    run_id: str
    community_id: str
    kind: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: Progress
    attempt: int
    created_at: Instant
    started_at: Instant | None = LEFT_OUT_WHEN_NONE
    finished_at: Instant | None = LEFT_OUT_WHEN_NONE
    links: RunLinks
    problem: RunProblem | None = LEFT_OUT_WHEN_NONE

    @classmethod
    def from_run(cls, run: Run) -> "RunAnswer":
        return cls(
            run_id=run.run_id,
            community_id=run.community_id,
            kind=run.kind,
            state=run.state.value,
            progress=Progress(done=run.done, total=run.total),
            attempt=run.attempt,
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            links=RunLinks(self=f"/runs/{run.run_id}", result=_result_path(run)),
            problem=None if run.problem is None else _problem(run.problem),
        )


class RunPage(Page):
    """Runs of a community, newest first."""

    runs: list[RunAnswer]


class RunQuery(Body):
    """Which Runs to list."""

    model_config = ConfigDict(strict=False, extra="forbid")

    community_id: Identifier
    limit: Annotated[int, PLAIN_DIGITS, Field(ge=1, le=1000)] = 100
    cursor: Cursor | None = None


def _result_path(run: Run) -> str | None:
    path = RESULT_PATHS.get(run.kind)
    if run.state is not RunState.SUCCEEDED or path is None:
        return None
    return path.format(run.community_id, run.result_id)


def _problem(kept: dict[str, Any]) -> RunProblem:
    facts = {name: value for name, value in kept["facts"].items() if name not in ("type", "title", "detail")}
    kind = kept["kind"]
    return RunProblem.model_validate(
        {
            **facts,
            "type": f"/problems/{kind}",
            "title": kind.replace("-", " ").capitalize(),
            "detail": kept["message"],
        }
    )

"""Runs: where they stand, and their end."""

from typing import Annotated

from fastapi import Query, Request

from digital_twin.api.cursors import from_cursor, to_cursor
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.runs import preferred_wait_s
from digital_twin.api.schemas.model import is_uuid
from digital_twin.api.schemas.runs import RunAnswer, RunPage, RunQuery
from digital_twin.domain.errors import InvalidInput
from digital_twin.services.access import Permission

router = twin_router("runs")


@router.get("/runs", **requires(Permission.SIGNED_IN))
async def list_runs(twin: TwinDep, grant: GrantDep, query: Annotated[RunQuery, Query()]) -> RunPage:
    """The Runs of a community, newest first; needs runs:read in it."""
    before = from_cursor(query.cursor)
    if before is not None and not is_uuid(before):
        raise InvalidInput("cursor must be the `next` of an earlier page", field="cursor")
    inside = await twin.access.check(grant.caller, Permission.RUNS_READ, query.community_id)
    runs = await twin.runs.page(inside, before=before, limit=query.limit)
    full = len(runs) == query.limit
    return RunPage(runs=[RunAnswer.from_run(run) for run in runs], next=to_cursor(runs[-1].run_id) if full else None)


@router.get("/runs/{run_id}", **requires(Permission.RUNS_READ))
async def get_run(run_id: str, request: Request, twin: TwinDep, grant: GrantDep) -> RunAnswer:
    """Where the Run stands; with `Prefer: wait=20` when it has ended, or after so many seconds."""
    run = await twin.runs.get(grant, run_id)
    return RunAnswer.from_run(await twin.runs.wait(run, preferred_wait_s(request)))


@router.delete("/runs/{run_id}", **requires(Permission.RUNS_CANCEL))
async def cancel_run(run_id: str, twin: TwinDep, grant: GrantDep) -> RunAnswer:
    """End the Run now; what it has computed is thrown away, readings that an import has stored by then stay."""
    return RunAnswer.from_run(await twin.runs.cancel(grant, run_id))

"""The worker: carries out Runs, takes up those of lost workers, keeps states, forecasts and feeds current."""

import asyncio
import signal
from collections.abc import Sequence

from digital_twin.bootstrap import Job, Settings, Worker, open_worker
from digital_twin.domain.errors import NotFound, TwinError
from digital_twin.services.feed_updates import UPDATE_FEEDS
from digital_twin.services.forecast_care import LOOK_AFTER_FORECASTS
from digital_twin.services.runs import ADVANCE_STATE, CARRY_OUT_RUN, FORECASTING, INGEST, STATES
from digital_twin.telemetry import configure_logging, get_logger, serve_metrics
from digital_twin.worker.rounds import every

REAP_EVERY_S, SWEEP_EVERY_S, RECONNECT_S, KEEP_UP_EVERY_S = 1.0, 60.0, 1.0, 900.0


async def work(settings: Settings, queues: Sequence[str]) -> None:
    """Until a signal ends it."""
    configure_logging(settings.log_level)
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    async with open_worker(settings, queues) as worker:
        if settings.worker_metrics_port is not None:
            serve_metrics(settings.worker_metrics_port)
        await run(worker, stop)


async def run(worker: Worker, stop: asyncio.Event) -> None:
    """Until `stop` is set."""
    worker.jobs.register(CARRY_OUT_RUN, lambda job: carry_out_run(worker, job))
    worker.jobs.register(ADVANCE_STATE, lambda job: advance_state(worker, job))
    worker.jobs.register(LOOK_AFTER_FORECASTS, lambda job: look_after_forecasts(worker, job))
    worker.jobs.register(UPDATE_FEEDS, lambda _: worker.feeds.update_due())
    beside = [asyncio.create_task(every(REAP_EVERY_S, worker.executor.reap))]
    if STATES in worker.queues:
        beside.append(asyncio.create_task(every(RECONNECT_S, lambda: follow_readings(worker))))
        beside.append(asyncio.create_task(every(SWEEP_EVERY_S, lambda: sweep_states(worker))))
        beside.append(asyncio.create_task(every(REAP_EVERY_S, lambda: worker.jobs.bury_lost(ADVANCE_STATE))))
        beside.append(asyncio.create_task(every(KEEP_UP_EVERY_S, worker.twin.keeping.keep_up_all)))
    if FORECASTING in worker.queues:
        beside.append(asyncio.create_task(every(SWEEP_EVERY_S, lambda: sweep_forecasts(worker))))
        beside.append(asyncio.create_task(every(REAP_EVERY_S, lambda: worker.jobs.bury_lost(LOOK_AFTER_FORECASTS))))
    if INGEST in worker.queues:
        beside.append(asyncio.create_task(every(SWEEP_EVERY_S, lambda: sweep_feeds(worker))))
        beside.append(asyncio.create_task(every(REAP_EVERY_S, lambda: worker.jobs.bury_lost(UPDATE_FEEDS))))
    try:
        await worker.jobs.run(stop)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def carry_out_run(worker: Worker, job: Job) -> None:
    """The attempt at a Run that this job stands for; handed over when the worker is told to end."""
    community_id, run_id = str(job.arguments["community_id"]), str(job.arguments["run_id"])
    try:
        await worker.executor.execute(community_id, run_id, job.job_id)
    except asyncio.CancelledError:
        if job.is_handed_over():
            await worker.executor.hand_over(community_id, run_id, job.job_id)
        raise


async def advance_state(worker: Worker, job: Job) -> None:
    """Have the community's state take up the readings that have come."""
    try:
        await worker.twin.states.advance(str(job.arguments["community_id"]))
    except NotFound:
        return  # it was deleted meanwhile
    except TwinError as error:
        get_logger().warning("state_not_advanced", error=error.message)  # the sweep finds it still due


async def look_after_forecasts(worker: Worker, job: Job) -> None:
    """Have the community's forecasts issued, judged and trained anew."""
    try:
        await worker.twin.forecast_care.look_after(str(job.arguments["community_id"]))
    except TwinError as error:
        get_logger().warning("forecasts_not_looked_after", error=error.message)  # the sweep finds them still due


async def follow_readings(worker: Worker) -> None:
    """Have states advanced as readings are told of, until the connection is lost."""
    async for community_id in worker.readings():
        if community_id:
            await due(worker, community_id)


async def sweep_states(worker: Worker) -> None:
    """Have those advanced whose readings nobody was told of, or that failed."""
    for community_id in await worker.twin.states.due():
        await due(worker, community_id)


async def sweep_forecasts(worker: Worker) -> None:
    """Have those looked after whose day has begun or whose training is due."""
    for community_id in await worker.twin.forecast_care.due():
        await worker.jobs.defer_once(LOOK_AFTER_FORECASTS, FORECASTING, community_id, community_id=community_id)


async def sweep_feeds(worker: Worker) -> None:
    """Have those brought up to date that are due, by one worker at a time."""
    await worker.feeds.measure_age()
    if await worker.feeds.due():
        await worker.jobs.defer_once(UPDATE_FEEDS, INGEST, "all")


async def due(worker: Worker, community_id: str) -> None:
    await worker.jobs.defer_once(ADVANCE_STATE, STATES, community_id, community_id=community_id)

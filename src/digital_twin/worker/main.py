"""The worker: carries out Runs, takes up those of workers that are gone, and keeps states current."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence

from digital_twin.bootstrap import Job, Settings, Worker, open_worker
from digital_twin.domain.errors import TwinError
from digital_twin.services.runs import CARRY_OUT_RUN
from digital_twin.telemetry import configure_logging, get_logger, serve_metrics

REAP_EVERY_S = 1.0


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
    beside = [asyncio.create_task(_every(REAP_EVERY_S, worker.executor.reap))]
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


async def _every(seconds: float, do: Callable[[], Awaitable[None]]) -> None:
    """Again and again; what goes wrong is tried again with the next round."""
    while True:
        try:
            await do()
        except TwinError as error:
            get_logger().warning("worker_round_failed", error=error.message)
        except Exception as error:
            get_logger().error("worker_round_failed", exc_info=error)
        await asyncio.sleep(seconds)

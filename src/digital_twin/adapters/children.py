"""Programs of ours that run beside this one: started, started again when they end, and ended with it."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from digital_twin.telemetry import get_logger

STOP_TIMEOUT_S = 8.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
LIVED_S = 60.0
"""Who has lived so long and ends is started again at once."""

OURS = (sys.executable, "-m", "digital_twin.cli.main")


@asynccontextmanager
async def child(arguments: Sequence[str], environment: Mapping[str, str]) -> AsyncGenerator[None, None]:
    """A command of this program, kept running until the block ends.

    Its standard input is a pipe that nobody writes to: it closes when this process ends, however it ends, and the
    command ends itself then.
    """
    stop = asyncio.Event()
    keeping = asyncio.create_task(_keep((*OURS, *arguments), {**os.environ, **environment}, stop))
    try:
        yield
    finally:
        stop.set()
        await keeping


async def _keep(command: Sequence[str], environment: Mapping[str, str], stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.create_task(stop.wait())
    delay_s = FIRST_DELAY_S
    while not stop.is_set():
        started = loop.time()
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(environment), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        ended = asyncio.create_task(process.wait())
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await _end(process)
            return
        get_logger().warning("child_ended", command=command[len(OURS)], status=process.returncode)
        delay_s = FIRST_DELAY_S if loop.time() - started > LIVED_S else min(2 * delay_s, LONGEST_DELAY_S)
        await asyncio.wait((stopped,), timeout=delay_s)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

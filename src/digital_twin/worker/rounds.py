"""What a worker does again and again beside its work."""

import asyncio
from collections.abc import Awaitable, Callable

from digital_twin.domain.errors import TwinError
from digital_twin.telemetry import get_logger


async def every(seconds: float, do: Callable[[], Awaitable[None]]) -> None:
    """Again and again; what goes wrong is tried again with the next round."""
    while True:
        try:
            await do()
        except TwinError as error:
            get_logger().warning("worker_round_failed", error=error.message)
        except Exception as error:
            get_logger().error("worker_round_failed", exc_info=error)
        await asyncio.sleep(seconds)

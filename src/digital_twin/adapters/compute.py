"""Warm processes for short computations: a crash or a time-out costs one call, never the pool."""

import asyncio
import ctypes
import gc
import hashlib
import importlib
import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from digital_twin.adapters.file_lock import locked
from digital_twin.domain.errors import Unavailable

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
"""Source: Linux, prctl(2)."""


def keep_compiled(home: Path) -> None:
    """Have numba keep what it compiles in a folder of its own for this very code, before anything imports it; and JAX.

    Where the package lies nothing may be writable.

    Numba's index looks at the file of a function alone, and stops at a type in another file that is not there any more.
    """
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        code.update(path.read_bytes())
    os.environ.setdefault("NUMBA_CACHE_DIR", str(home / "numba" / code.hexdigest()[:16]))
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(home / "jax"))


class WarmPool:
    """Processes that have imported the numerical packages and solved once before the first call."""

    def __init__(
        self,
        processes: int,
        *,
        preload: Sequence[str] = (),
        warm_up: Callable[[], object] | None = None,
        compile_rarer: Callable[[], object] | None = None,
    ) -> None:
        """`preload` is imported once, in the process that the others are forked from.

        Where nothing is compiled yet one process warms up and then compiles what is asked for more rarely, while the
        others take calls.
        """
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("NPROC", "1")  # so many threads JAX computes with
        self._processes, self._preload = processes, tuple(preload)
        self._warm_up, self._compile_rarer = warm_up, compile_rarer
        self._closed = False
        self._pool = self._new_pool()

    def start(self) -> None:
        """Start the processes now rather than at the first call."""
        self._pool.schedule(os.getpid)

    def _new_pool(self) -> ProcessPool:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(self._preload))
        return ProcessPool(
            max_workers=self._processes,
            context=context,
            initializer=_start_process,
            initargs=(self._preload, self._warm_up, self._compile_rarer, os.environ.get("NUMBA_CACHE_DIR")),
        )

    def _schedule(self, function: Callable[..., T], args: tuple[Any, ...], timeout_s: float) -> "ProcessFuture[T]":
        """On a new pool when the old one broke, which it does when all idle processes are killed at once."""
        try:
            return self._pool.schedule(function, args=args, timeout=timeout_s)
        except RuntimeError as error:
            if self._closed:
                raise Unavailable("the program is shutting down", retry_after_s=5) from error
            self._pool.stop()
            self._pool = self._new_pool()
            return self._pool.schedule(function, args=args, timeout=timeout_s)

    async def call(self, function: Callable[..., T], *args: Any, timeout_s: float) -> T:
        """The result of the function, run in one of the processes.

        Raises:
            Unavailable: no result in time (the process is killed), or the process died.
        """
        future = self._schedule(function, args, timeout_s)
        try:
            return await asyncio.wrap_future(future)
        except FutureTimeoutError as error:
            raise Unavailable(
                f"the computation did not finish within {timeout_s:g} s and was stopped; "
                "ask for a shorter horizon or a coarser resolution",
                retry_after_s=5,
            ) from error
        except (ProcessExpired, BrokenProcessPool) as error:
            raise Unavailable("the computation's process ended unexpectedly; try again", retry_after_s=1) from error
        except asyncio.CancelledError:
            future.cancel()
            raise

    async def map(
        self, function: Callable[..., T], arguments: Sequence[tuple[Any, ...]], *, timeout_s: float
    ) -> AsyncGenerator[tuple[int, T], None]:
        """Each result with the place of its arguments, in the order in which they come.

        No more are handed out than the processes are busy with, so that `timeout_s` counts from the start of each.

        Raises:
            Unavailable: one is late or its process died; the others are stopped.
        """
        waiting = iter(enumerate(arguments))
        running: dict[asyncio.Task[T], int] = {}
        try:
            while True:
                for place, args in itertools.islice(waiting, self._processes - len(running)):
                    running[asyncio.create_task(self.call(function, *args, timeout_s=timeout_s))] = place
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield running.pop(task), await task
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def close(self) -> None:
        """Stop at once; calls in flight are lost."""
        self._closed = True
        self._pool.stop()
        self._pool.join()


def _start_process(
    preload: tuple[str, ...],
    warm_up: Callable[[], object] | None,
    compile_rarer: Callable[[], object] | None,
    kept_in: str | None,
) -> None:
    _end_with_parent()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # solvers greet on standard output, which is not theirs
    for module in preload:
        importlib.import_module(module)
    if warm_up is not None and not (kept_in and _is_first_to_warm_up(warm_up, Path(kept_in))):
        warm_up()
    elif compile_rarer is not None:
        compile_rarer()
    gc.freeze()


def _is_first_to_warm_up(warm_up: Callable[[], object], folder: Path) -> bool:
    """Whether this process did so before all others for which this folder keeps what is compiled; else waits for it.

    Processes that start together would all compile the same, and take the cores from each other.
    """
    done = folder / "warmed-up"
    if done.exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "warming-up"):
        if done.exists():
            return False
        warm_up()
        done.touch()
    return True


def _end_with_parent() -> None:
    """Where the system can: without the process that it was forked from, nobody sees or stops this one any more."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

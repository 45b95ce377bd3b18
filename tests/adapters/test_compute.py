"""Warm processes: a time-out, a crash or a cancelled request costs one call, never the pool."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from digital_twin.adapters import compute
from digital_twin.adapters.compute import WarmPool, keep_compiled
from digital_twin.domain import errors
from digital_twin.domain.errors import TwinError, Unavailable


@pytest.fixture(scope="module")
def pool() -> Iterator[WarmPool]:
    made = WarmPool(2)
    made.start()
    yield made
    made.close()


def wait_for_ever(started: Path) -> None:
    started.write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)


def own_number() -> int:
    time.sleep(0.1)  # so that calls made at once meet several processes
    return os.getpid()


def end_abruptly() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(kind: type[TwinError]) -> None:
    raise kind("message", field="tariff", limits=["a"], retry_after_s=3)


def make_what_cannot_travel() -> object:
    return lambda: None


async def is_gone(number: int) -> bool:
    for _ in range(200):
        if not is_alive(number):
            return True
        await asyncio.sleep(0.05)
    return False


def is_alive(number: int) -> bool:
    """Whether it runs; what only waits for its parent to take notice does not."""
    try:
        os.kill(number, 0)
        stat = Path(f"/proc/{number}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def number_after_recovery(pool: WarmPool) -> int:
    for _ in range(10):
        try:
            return await pool.call(own_number, timeout_s=30)
        except Unavailable:
            continue
    pytest.fail("the pool stays broken")


async def test_a_call_that_takes_too_long_is_killed_and_the_next_one_works(pool: WarmPool, tmp_path: Path) -> None:
    started = tmp_path / "started"
    with pytest.raises(Unavailable, match="within 1 s") as caught:
        await pool.call(wait_for_ever, started, timeout_s=1)
    assert caught.value.facts["retry_after_s"] > 0
    assert await is_gone(int(started.read_text()))
    assert await pool.call(own_number, timeout_s=30) != os.getpid()


async def test_a_cancelled_call_is_killed(pool: WarmPool, tmp_path: Path) -> None:
    started = tmp_path / "started"
    call = asyncio.create_task(pool.call(wait_for_ever, started, timeout_s=300))
    for _ in range(1_000):
        await asyncio.sleep(0.02)
        if started.exists() and started.read_text():
            break
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await is_gone(int(started.read_text()))


@pytest.mark.parametrize("crash", [end_abruptly, make_what_cannot_travel])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_call_whose_process_dies_is_unavailable_and_the_next_one_works(pool: WarmPool, crash: object) -> None:
    with pytest.raises(Unavailable):
        await pool.call(crash, timeout_s=30)  # type: ignore[arg-type]
    assert await pool.call(own_number, timeout_s=30) != os.getpid()


async def test_a_pool_whose_idle_processes_are_all_killed_recovers(pool: WarmPool) -> None:
    numbers = set(await asyncio.gather(*(pool.call(own_number, timeout_s=30) for _ in range(4))))
    for number in numbers:
        os.kill(number, signal.SIGKILL)
        assert await is_gone(number)
    assert await number_after_recovery(pool) not in numbers


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
async def test_a_pool_whose_source_of_processes_is_killed_recovers_and_leaves_none_behind(
    pool: WarmPool, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    source = await pool.call(os.getppid, timeout_s=30)
    call = asyncio.create_task(pool.call(wait_for_ever, started, timeout_s=300))
    for _ in range(1_000):
        await asyncio.sleep(0.02)
        if started.exists() and started.read_text():
            break
    os.kill(source, signal.SIGKILL)
    with pytest.raises(Unavailable):
        await call
    assert await is_gone(int(started.read_text()))
    await number_after_recovery(pool)
    assert await pool.call(os.getppid, timeout_s=30) != source


@pytest.mark.parametrize("kind", [TwinError, *TwinError.__subclasses__()])
async def test_every_error_crosses_the_border_between_processes_whole(pool: WarmPool, kind: type[TwinError]) -> None:
    with pytest.raises(kind, match="message") as caught:
        await pool.call(fail, kind, timeout_s=30)
    assert type(caught.value) is kind
    assert caught.value.facts == {"field": "tariff", "limits": ["a"], "retry_after_s": 3}


async def test_a_closed_pool_is_unavailable() -> None:
    closed = WarmPool(1)
    closed.close()
    with pytest.raises(errors.Unavailable, match="shutting down"):
        await closed.call(os.getpid, timeout_s=1)


def note_warm_up(notes: Path) -> None:
    note(notes, "warm-up begins")
    time.sleep(0.3)  # so that processes that do not wait for each other would be seen to overlap
    note(notes, "warm-up ends")


def note(notes: Path, what: str) -> None:
    with notes.open("a") as file:
        file.write(f"{what}\n")


async def test_where_nothing_is_compiled_yet_the_others_wait_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "compiled"))
    notes = tmp_path / "notes"
    warm_up, compile_rarer = partial(note_warm_up, notes), partial(note, notes, "the rest is compiled")
    pools = [WarmPool(2, warm_up=warm_up, compile_rarer=compile_rarer) for _ in range(2)]
    try:
        for pool in pools:
            pool.start()
        await asyncio.gather(*(pool.call(own_number, timeout_s=60) for pool in pools for _ in range(4)))
    finally:
        for pool in pools:
            pool.close()
    noted = notes.read_text().splitlines()
    assert noted[:2] == ["warm-up begins", "warm-up ends"]
    assert noted.count("the rest is compiled") == 1
    assert noted.count("warm-up begins") >= 2, "each process warms itself up"


def die_once(alive: Path) -> None:
    if alive.exists():
        alive.unlink()
        end_abruptly()


async def test_a_process_that_dies_while_it_compiles_leaves_it_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "alive").touch()
    made = WarmPool(1, warm_up=partial(die_once, tmp_path / "alive"))
    try:
        with suppress(Unavailable):
            await made.call(os.getpid, timeout_s=60)
        assert await made.call(os.getpid, timeout_s=60)
    finally:
        made.close()
    assert (tmp_path / "warmed-up").exists()


def test_what_is_compiled_of_other_code_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "given")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    keep_compiled(tmp_path)
    assert os.environ["NUMBA_CACHE_DIR"] == "given"
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "jax")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    keep_compiled(tmp_path)
    ours = Path(os.environ["NUMBA_CACHE_DIR"])
    assert ours.parent == tmp_path / "numba"
    package = tmp_path / "package"
    (package / "adapters").mkdir(parents=True)
    (package / "other.py").write_text("changed")
    monkeypatch.setattr(compute, "__file__", str(package / "adapters" / "compute.py"))
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    keep_compiled(tmp_path)
    assert Path(os.environ["NUMBA_CACHE_DIR"]) not in (ours, tmp_path)

"""Measuring fairly on a machine that others use, too: contestants take turns, and what counts is their ratio."""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

REPORT = Path(__file__).parents[1] / "docs" / "reference" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Spread:
    """The median with the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Spread":
        return cls(*np.quantile(values, (0.25, 0.5, 0.75)).tolist())

    def text(self, digits: int = 3) -> str:
        """`median (quartile to quartile)` with so many significant digits."""
        low, median, high = (significant(value, digits) for value in (self.low, self.median, self.high))
        return f"{median} ({low} to {high})"


@dataclass(frozen=True, slots=True, eq=False)
class Timings:
    """Seconds of each contestant in each round."""

    seconds: Mapping[str, NDArray[np.float64]]  # each (rounds,)

    def of(self, name: str) -> Spread:
        return Spread.of(self.seconds[name])

    def ratio(self, name: str, to: str) -> Spread:
        """How many times as long as the other, round by round."""
        return Spread.of(self.seconds[name] / self.seconds[to])


def take_turns(
    contestants: Mapping[str, Callable[[int], object]],
    *,
    rounds: int,
    warm_up: int = 1,
    turning: bool = True,
    settle: Callable[[int], Sequence[int]] = lambda number: (),
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Time everyone once per round, so that whatever else loads the machine hits all of them alike.

    A contestant is called with the number of the round, from -warm_up on; the rounds below 0 are not counted.
    The order is turned round by round, for the sake of what one leaves in the caches for the next, unless one needs
    what another did before. The clock is the wall's; `time.process_time` suits work that stays in this process.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(-warm_up, rounds):
        turn = number % len(names) if turning else 0
        for name in names[turn:] + names[:turn]:
            for other in settle(number):
                contestants[name](other)
            started = clock()
            contestants[name](number)
            if number >= 0:
                seconds[name].append(clock() - started)
    return Timings({name: np.array(found) for name, found in seconds.items()})


def significant(value: float, digits: int = 3) -> str:
    """A number for people: so many significant digits, no exponent."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{decimals}f}"


def milliseconds(spread: Spread) -> str:
    return Spread(1e3 * spread.low, 1e3 * spread.median, 1e3 * spread.high).text()


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark's table."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def report(result: Result, command: str) -> None:
    """Print the table, and put it into the reference page in place of the one there."""
    table = Table(title=result.name, title_justify="left")
    for column in result.columns:
        table.add_column(column, overflow="fold")
    for row in result.rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    for note in result.notes:
        console.print(note)
    write_section(REPORT, result, command)
    console.print(f"written to {REPORT.name}, section {result.name}")


def write_section(page: Path, result: Result, command: str) -> None:
    """Put a benchmark's table between the markers of its name."""
    lines = [
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}",
        "",
        "| " + " | ".join(result.columns) + " |",
        "|" + " --- |" * len(result.columns),
        *("| " + " | ".join(row) + " |" for row in result.rows),
        *(line for note in result.notes for line in ("", note)),
    ]
    replace_section(page, result.name, "\n".join(lines))


def replace_section(page: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of this name.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = (f"<!-- {name}: {edge} -->" for edge in ("begin", "end"))
    page_text = page.read_text()
    if page_text.count(begin) != 1 or page_text.count(end) != 1:
        raise ValueError(f"{page} must hold {begin} and {end} once each")
    before, _, rest = page_text.partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def machine() -> str:
    """Processor, cores, load and versions: what a reader needs to judge a time."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {load:.1f}, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def rounds_asked(description: str, default: int) -> int:
    """The one option that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=default, help=f"how often to measure (default {default})")
    return int(parser.parse_args().rounds)

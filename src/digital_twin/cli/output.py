"""Answers as tables for people."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from digital_twin.cli.guesses import MeterFile

console = Console()
error_console = Console(stderr=True)

Document = dict[str, Any]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A table; the first column is text, the others are numbers."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 1 else f"{value:,.1f}"
    return str(value)


def hourly(document: Document, names: Sequence[str]) -> list[list[Any]]:
    """Means per hour of series in a document, one row an hour."""
    step = document["resolution_minutes"]
    per_hour = max(1, 60 // step)
    start = datetime.fromisoformat(document["start"])
    length = len(document[names[0]])
    return [
        [
            f"{start + timedelta(minutes=first * step):%a %d %H:%M}",
            *(_mean(document[name][first : first + per_hour]) for name in names),
        ]
        for first in range(0, length, per_hour)
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def forecast_table(forecast: Document) -> Table:
    """Mean and interval of each variable by hour, in kW."""
    flat: Document = {"start": forecast["start"], "resolution_minutes": forecast["resolution_minutes"]}
    columns: list[str] = []
    for name, variable in forecast["variables"].items():
        for part in ("lower", "mean", "upper"):
            if part in variable:
                flat[f"{name} {part}"] = variable[part]
                columns.append(f"{name} {part}")
    percent = round(100 * forecast["confidence_level"])
    title = f"Forecast issued {forecast['issued_at']}, {percent} % interval, hourly means in kW (times UTC)"
    return table(title, ["hour", *columns], hourly(flat, columns))


PLAN_COLUMNS = ("load_kw", "pv_kw", "charge_kw", "discharge_kw", "soc_kwh", "import_kw", "export_kw")


def schedule_table(schedule: Document) -> Table:
    """The plan by hour; powers are means, the state of charge stands at the end of the interval."""
    title = f"Dispatch plan {schedule['result_id']}, {schedule['objective']}, hourly (times UTC)"
    return table(title, ["hour", *PLAN_COLUMNS], hourly(schedule, PLAN_COLUMNS))


def schedule_summary(schedule: Document) -> Table:
    """What the plan costs and saves."""
    savings = schedule["savings"]
    rows: list[list[Any]] = [
        ["cost", schedule["cost"]],
        *([f"saved against {name}", one["saved"]] for name, one in savings["baselines"].items()),
        ["emissions, kg", schedule["emissions_kg"]],
        ["peak import, kW", schedule["peak_kw"]],
        ["self-consumption", schedule["self_consumption"]],
        ["self-sufficiency", schedule["self_sufficiency"]],
        ["certified gap", f"{schedule['gap']:.1e}"],
    ]
    rows += [[f"one more unit of {one['limit']} is worth", one["value_per_unit"]] for one in schedule["binding"][:5]]
    return table(f"Plan: {schedule['status']}", ["figure", "value"], rows)


def assumptions_text(document: Document) -> str:
    """The documented priors that stood in for data, one a line; empty without any."""
    return "\n".join(f"assumed: {sentence}" for sentence in document["provenance"]["assumptions"])


@contextmanager
def progress(what: str, total: int) -> Generator[Callable[[int], None], None, None]:
    """A bar for a long piece of work; the block is given the function that advances it."""
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=error_console) as bar:
        task = bar.add_task(what, total=max(1, total))
        yield lambda amount: bar.advance(task, amount)


def show_meter_file(file: MeterFile) -> None:
    """What was guessed and found in a file."""
    if file.guesses:
        console.print(
            table("Guessed", ["what", "as", "because"], [[one.what, one.value, one.because] for one in file.guesses])
        )
    grouped: dict[str, list[Any]] = {}
    for finding in file.findings:
        row = grouped.setdefault(finding.kind, [finding.kind, 0, 0, f"{finding.series}: {finding.example}"])
        row[1] += finding.count
        row[2] += 1
    if grouped:
        console.print(table("Found", ["what", "readings", "series", "first"], list(grouped.values())))
    names = sorted({one.key.name for one in file.columns})
    start = min(one.grid.start for one in file.columns)
    end = max(one.grid.end for one in file.columns)
    console.print(
        f"{file.readings:,} readings of {', '.join(names)} for {len(file.members) or 'no'} members, "
        f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    )

"""`digital-twin tariff`: design the prices of the next hours, and keep them as a file."""

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from digital_twin.cli.parameters import AsJson, CommunityOption, Url, comma_separated, instant
from digital_twin.domain import errors

SERIES = ("import_price_per_kwh", "export_price_per_kwh", "demand_before_kw", "demand_after_kw")


def tariff(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    blocks: Annotated[
        str | None, typer.Option(help="Local hours at which a price begins, such as 0,6,17,21; default: each hour")
    ] = None,
    start: Annotated[
        datetime | None,
        typer.Option(help="UTC unless it says otherwise; default: now", parser=instant, metavar="TIME"),
    ] = None,
    hours: Annotated[float, typer.Option(help="How far ahead")] = 24.0,
    budget: Annotated[float | None, typer.Option(help="For discounts, each local day; default: its own")] = None,
    spent: Annotated[float, typer.Option(help="What of it was spent already on the first day")] = 0.0,
    low: Annotated[float | None, typer.Option(help="With --high: no price per kWh below")] = None,
    high: Annotated[float | None, typer.Option(help="With --low: no price per kWh above")] = None,
    unit: Annotated[float | None, typer.Option(help="Prices are whole multiples of it, such as 0.01")] = None,
    step: Annotated[float | None, typer.Option(help="The most by which neighbouring prices may differ")] = None,
    elasticity: Annotated[float | None, typer.Option(help="Default: learned, else that of the literature")] = None,
    revenue: Annotated[float | None, typer.Option(help="What members must at least pay for their demand")] = None,
    nobody_worse_off: Annotated[
        bool, typer.Option("--no-member-worse-off", help="What members use at present costs none of them more")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="Write the tariff to this .csv or .json")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Design the import prices that maximise welfare within an incentive budget, and say who gains."""
    from digital_twin.cli import output as shown
    from digital_twin.cli.credentials import connect

    if (low is None) != (high is None):
        raise errors.InvalidInput("give --low and --high together", field="price_bounds")
    if output is not None and output.suffix.lower() not in (".csv", ".json"):
        raise errors.InvalidInput("--output must end in .csv or .json", field="output")
    asked: dict[str, Any] = {
        "blocks": None if blocks is None else _hours(blocks),
        "start_time": start,
        "incentive_budget": budget,
        "price_bounds": None if low is None else {"low": low, "high": high},
        "price_unit_per_kwh": unit,
        "max_price_step_per_kwh": step,
        "elasticity": elasticity,
        "revenue_floor": revenue,
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    with connect(url) as client:
        made = client.design_tariff(
            community, horizon_hours=hours, already_spent_today=spent, no_member_worse_off=nobody_worse_off, **asked
        )
    if output is not None:
        _write(made, output)
    if as_json:
        shown.console.print_json(data=made)
        return
    shown.console.print(shown.tariff_table(made))
    shown.console.print(shown.tariff_summary(made))
    shown.console.print(shown.assumptions_text(made), style="dim", markup=False)


def _hours(text: str) -> list[float]:
    """Raises InvalidInput."""
    try:
        return [float(hour) for hour in comma_separated(text)]
    except ValueError as error:
        raise errors.InvalidInput(f"--blocks are hours such as 0,6,17,21, got {text!r}", field="blocks") from error


def _write(made: dict[str, Any], path: Path) -> None:
    """The whole answer as JSON, or a row for each interval as CSV."""
    if path.suffix.lower() == ".json":
        path.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        return
    first, step = datetime.fromisoformat(made["start"]), timedelta(minutes=made["resolution_minutes"])
    present = made["present_tariff"]["import_price_per_kwh"]
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["start", "end", "present_import_price_per_kwh", *SERIES])
        for number, values in enumerate(zip(present, *(made[name] for name in SERIES), strict=True)):
            start = first + number * step
            rows.writerow([start.isoformat(), (start + step).isoformat(), *values])

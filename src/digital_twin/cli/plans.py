"""`digital-twin explain`, `trade-off`, `apply`, `active` and `model`: what is asked about plans that are kept."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from digital_twin.cli.parameters import AsJson, CommunityOption, Url, instant
from digital_twin.domain import errors

ResultArgument = Annotated[str, typer.Argument(help="The plan's result_id")]
FORMS = ("lp", "mps")


def explain(community: CommunityOption, result: ResultArgument, url: Url = None, as_json: AsJson = False) -> None:
    """Say why a plan is as it is: what holds it back, and what it does when."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        answer = client.plans.explanation(community, result)
    if as_json:
        output.console.print_json(data=answer)
        return
    parts = [
        ("What may come", list(answer.get("risk", {}).values())),
        ("What holds it back", [*answer["limits"], *answer.get("members", ())]),
        ("What it does, and why", answer["actions"]),
    ]
    for title, lines in parts:
        if not lines and title != "What holds it back":
            continue
        output.console.print(title, style="bold")
        for line in lines or [{"text": "nothing"}]:
            output.console.print(f"  {line['text']}", markup=False, highlight=False)
    for note in answer["notes"]:
        output.console.print(note, style="dim", markup=False)


def trade_off(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    against: Annotated[str, typer.Option(help="emissions, self_sufficiency or peak")] = "emissions",
    points: Annotated[int, typer.Option(min=2, max=50, help="How many plans")] = 12,
    start: Annotated[
        datetime | None,
        typer.Option(help="UTC unless it says otherwise; default: now", parser=instant, metavar="TIME"),
    ] = None,
    hours: Annotated[float, typer.Option(help="How far ahead")] = 24.0,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show plans from the cheapest to the best in another measure, and what each unit of it costs."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    asked: dict[str, Any] = {"points": points, "horizon_hours": hours}
    if start is not None:
        asked["start_time"] = start.isoformat()
    with connect(url) as client:
        answer = client.plans.trade_off(community, against, **asked)
    if as_json:
        output.console.print_json(data=answer)
        return
    output.console.print(output.trade_off_table(answer))
    output.console.print(output.assumptions_text(answer), style="dim", markup=False)


def apply(community: CommunityOption, result: ResultArgument, url: Url = None, as_json: AsJson = False) -> None:
    """Put a plan in force; needs a log-in of the last minutes."""
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        _show(client.plans.apply(community, result), as_json=as_json)


def active(community: CommunityOption, url: Url = None, as_json: AsJson = False) -> None:
    """Show the plan that is in force."""
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        _show(client.plans.active(community), as_json=as_json)


def model(
    community: CommunityOption,
    result: ResultArgument,
    file: Annotated[Path, typer.Option("--output", help="Write the linear program to this .lp or .mps")],
    url: Url = None,
) -> None:
    """Write the linear program whose optimum a plan is, so that any solver can check it."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    form = file.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise errors.InvalidInput("--output must end in .lp or .mps", field="output")
    with connect(url) as client:
        file.write_text(client.plans.model(community, result, "lp" if form == "lp" else "mps"), encoding="utf-8")
    output.console.print(f"written to {file}", markup=False)


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    from digital_twin.cli import output

    if as_json:
        output.console.print_json(data=answer)
        return
    schedule = answer["schedule"]
    line = f"in force since {answer['applied_at']} until {answer['ends_at']}: {schedule['result_id']}"
    output.console.print(line, markup=False, highlight=False)
    output.console.print(output.schedule_table(schedule))

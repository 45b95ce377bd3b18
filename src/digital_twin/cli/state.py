"""`digital-twin state`: what is, was and comes next, how sure that is, and which meters need a look."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from digital_twin.cli.parameters import AsJson, CommunityOption, Url

MOST_METERS = 20
PARTS = {
    "net_charge_kw": "the storage takes, net, kW",
    "storage_losses_kw": "it loses, kW",
    "unmetered_demand_kw": "demand that no meter shows, kW",
    "unmetered_pv_kw": "generation that no meter shows, kW",
    "unmetered_storage_soc_kwh": "stored energy that no meter shows, kWh",
}


def state(
    community: CommunityOption,
    past: Annotated[
        int, typer.Option(min=0, max=168, help="How many hours back, with hindsight; 0 for not at all")
    ] = 0,
    hours: Annotated[int, typer.Option(min=0, max=168, help="How far ahead; 0 for not at all")] = 0,
    meters: Annotated[bool, typer.Option("--meters", help="Also which meters need a look")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what is happening, with how sure it is, and what is expected next."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        answer: dict[str, Any] = {"state": client.state(community)}
        if past:
            now = datetime.now(UTC)
            start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=past)
            answer["past"] = client.state_history(community, start, now, hindsight=True)
        if hours:
            answer["prediction"] = client.state_prediction(community, hours)
        if meters:
            answer["meters"] = client.state_meters(community, limit=MOST_METERS)
    if as_json:
        output.console.print_json(data=answer)
        return
    output.console.print(output.state_table(answer["state"]))
    output.console.print(_parts_table(answer["state"]))
    output.console.print(consistency_text(answer["state"]), markup=False)
    if past:
        output.console.print(output.past_table(answer["past"]))
    if hours:
        output.console.print(output.prediction_table(answer["prediction"]))
    if meters:
        output.console.print(_meters_table(answer["meters"]))


def _parts_table(answer: dict[str, Any]) -> Any:
    from digital_twin.cli import output

    rows = [[PARTS[name], one["mean"], f"{1.96 * one['sd']:,.1f}"] for name, one in answer["parts"].items()]
    return output.table("Taken apart, 95 % within +/-", ["part", "estimate", "+/-"], rows)


def consistency_text(answer: dict[str, Any]) -> str:
    """Whether the errors are as large as they are said to be, with the evidence of each stream."""
    consistency: dict[str, Any] = answer["consistency"] or {"is_lost": False, "streams": {}}
    told = [
        f"{name}: NIS {one['nis']:.2f}"
        + (
            ""
            if one["late_truth_coverage"] is None
            else f", {one['late_truth_coverage']:.0%} of late truth within 95 %"
        )
        for name, one in consistency["streams"].items()
        if one["nis"] is not None
    ]
    if not told:
        return "Whether the errors are as large as they are said to be is not known yet."
    judged = "Errors are not as large as they are said to be" if consistency["is_lost"] else "Errors as they should be"
    return f"{judged} ({'; '.join(told)})"


def _meters_table(answer: dict[str, Any]) -> Any:
    from digital_twin.cli import output

    rows = [
        [
            one["member_id"],
            one["series"],
            str(one["condition"]),
            (one["since"] or "over a week")[:16].replace("T", " "),
            "" if not one["sd_fall_kw"] else f"{one['sd_fall_kw']:.2f}",
        ]
        for one in answer["meters"]
        if one["condition"] != "reporting"
    ]
    counts = ", ".join(f"{count} {word}" for word, count in answer["counts"].items())
    columns = ["meter", "series", "is", "since (UTC)", "would make demand surer by (kW)"]
    return output.table(f"Meters that need a look ({counts or 'none'})", columns, rows, is_text=True)

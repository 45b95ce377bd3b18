"""`digital-twin quality`: which meters are silent or hard to believe, or one of them day by day."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from digital_twin.cli.parameters import AsJson, CommunityOption, Url, comma_separated

REASONS = {
    "told": "its source says so",
    "stuck": "one value for long",
    "zeros": "nothing but 0",
    "spike": "values that stand out",
    "unit": "watts as kilowatts",
}


def quality(
    community: CommunityOption,
    days: Annotated[int, typer.Option(min=1, help="How far back")] = 1,
    member: Annotated[str | None, typer.Option(help="One member, day by day")] = None,
    series: Annotated[str | None, typer.Option(help="Names, separated by commas; default: all that add up")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show how far readings can be trusted: gaps, silent meters, and what is hard to believe."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    now = datetime.now(UTC)
    names = [] if series is None else comma_separated(series)
    with connect(url) as client:
        answer = client.quality(community, now - timedelta(days=days), now, names, member_id=member)
    if as_json:
        output.console.print_json(data=answer)
        return
    for one in answer["series"]:
        output.console.print(_series_table(one))
    if answer["meters"] is not None:
        troubled = [one for one in answer["meters"]["page"] if one["missing"] or one["suspect"]]
        if troubled:
            output.console.print(_meters_table(troubled))
        output.console.print(_summary(answer["meters"]))


def _series_table(series: dict[str, Any]) -> Any:
    from digital_twin.cli import output

    rows = [[day["day"], day["present"], day["expected"] - day["present"], day["suspect"]] for day in series["days"]]
    owner = f" of {series['member_id']}" if series["member_id"] else ""
    return output.table(f"{series['name']}{owner}, by local day", ["day", "present", "missing", "suspect"], rows)


def _meters_table(troubled: list[dict[str, Any]]) -> Any:
    from digital_twin.cli import output

    rows = [
        [
            " ".join(filter(None, (one["member_id"], one["asset_id"]))),
            one["name"],
            one["missing"],
            one["suspect"],
            ", ".join(REASONS[reason] for reason in one["reasons"]),
            (one["last_reading_end"] or "none")[:16].replace("T", " "),
        ]
        for one in troubled
    ]
    columns = ["meter", "series", "missing", "suspect", "why", "newest until (UTC)"]
    return output.table("Meters with missing or suspect readings, the worst first", columns, rows, is_text=True)


def _summary(meters: dict[str, Any]) -> str:
    return (
        f"{meters['reporting']} of {meters['count']} meters have reported, {meters['silent']} are silent; "
        f"readings of {meters['suspect']} are suspect"
    )

"""`digital-twin kpis`: how a community has done."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from digital_twin.cli.parameters import AsJson, CommunityOption, Url


def kpis(
    community: CommunityOption,
    days: Annotated[int, typer.Option(min=1, max=400, help="How far back")] = 7,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what a community used of its own sun, what its energy cost, and what its storage has earned."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    now = datetime.now(UTC)
    with connect(url) as client:
        answer = client.kpis(community, start=now - timedelta(days=days), end=now)
    if as_json:
        output.console.print_json(data=answer)
        return
    output.console.print(output.kpi_table(f"The last {days} days", answer))
    output.console.print(output.assumptions_text(answer), style="dim", markup=False)

"""`digital-twin dispatch --level member` and `digital-twin member-plan`: what each member should do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digital_twin.cli.parameters import AsJson, CommunityOption, Url
from digital_twin.cli.transfer import MEDIA_TYPES, written
from digital_twin.domain import errors

if TYPE_CHECKING:
    from digital_twin.client import TwinClient

COMMUNITY, MEMBER = "community", "member"


def check_level(level: str, output: Path | None) -> None:
    """Raises InvalidInput for an unknown level, or a file where no member is planned or none is written."""
    if level not in (COMMUNITY, MEMBER):
        raise errors.InvalidInput(f"--level must be {COMMUNITY} or {MEMBER}", field="level")
    if output is None:
        return
    if level != MEMBER:
        raise errors.InvalidInput("--output writes members' plans; ask for --level member", field="output")
    if output.suffix.lower() not in MEDIA_TYPES:
        raise errors.InvalidInput(f"--output must end in {', '.join(MEDIA_TYPES)}", field="output")


def plan(client: "TwinClient", community: str, planned: dict[str, Any], file: Path | None, *, as_json: bool) -> None:
    """Plan for every member, waiting for a Run; show it, and write everyone's part."""
    from digital_twin.cli import output

    answer = client.dispatch(community, level=MEMBER, **planned)
    if "run_id" in answer:
        answer = client.result(community, client.wait_for(answer)["run_id"])
    if file is not None:
        with written(file) as opened:
            client.member_plans.download(
                community, answer["result_id"], file=opened, media_type=MEDIA_TYPES[file.suffix.lower()]
            )
    if as_json:
        output.console.print_json(data=answer)
        return
    output.console.print(_of_all(answer))
    output.console.print(output.assumptions_text(answer), style="dim", markup=False)


def show_member_plan(
    community: CommunityOption,
    member: Annotated[str, typer.Option(help="Whose plan")],
    result: Annotated[str | None, typer.Option(help="Of this result; default: the newest")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what one member is planned to do, and what they save."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        answer = client.member_plans.of(community, member, result_id=result)
    if as_json:
        output.console.print_json(data=answer)
        return
    output.console.print(output.member_plan_table(answer))


def _of_all(answer: dict[str, Any]) -> Any:
    from digital_twin.cli import output

    fairness, savings = answer["fairness"], answer["savings"]
    most = max(answer["charging_members"], default=0)
    saved = fairness["saved_quantiles"]
    rows = [
        ["members", f"{answer['members']:,}"],
        ["batteries and vehicles", f"{answer['storages']:,} and {answer['vehicles']:,}"],
        ["cost", f"{answer['cost']:,.2f}"],
        ["saved against everyone's own rule", f"{savings['saved']:,.2f}"],
        ["saved by a member: least, median, most", " / ".join(f"{saved[level]:,.2f}" for level in ("0", "0.5", "1"))],
        ["members who pay more than under their own rule", f"{fairness['worse_off_members']:,}"],
        ["most members charging at once", f"{most:,}"],
        ["peak import", f"{answer['peak_kw']:,.1f} kW"],
        ["certified gap", f"{answer['gap']:.1e}"],
    ]
    return output.table(f"Plan {answer['result_id']}: {answer['status']}", ["figure", "value"], rows)

"""`digital-twin retention` and `erase`: what is removed by them is gone for good, so they ask first."""

from typing import Annotated, Any

import typer

from digital_twin.cli.parameters import AsJson, CommunityOption, Url
from digital_twin.domain.errors import InvalidInput

ALL = "all"

Days = Annotated[str | None, typer.Option(metavar="DAYS", help=f"A number, or {ALL}; default: as it is")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask")]

_ERASED = {
    "series": "series",
    "days": "days of readings",
    "assets": "assets",
    "memberships": "memberships and invites",
    "documents": "results, Runs and messages that named them",
}


def retention(
    community: CommunityOption,
    readings_days: Days = None,
    journal_days: Days = None,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show how long readings, and what was known of them when, are kept; or change it."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    told = {"readings_days": readings_days, "journal_days": journal_days}
    changed = {name: _days(text, name) for name, text in told.items() if text is not None}
    with connect(url) as client:
        kept = client.retention(community)
        if changed:
            if _keeps_less(kept, changed) and not yes:
                typer.confirm("What is older will be removed for good. Go on?", abort=True)
            kept = client.retain(community, **kept | changed)
    if as_json:
        output.console.print_json(data=kept)
        return
    rows = [("readings", _meant(kept["readings_days"])), ("what was known when", _meant(kept["journal_days"]))]
    output.console.print(output.table(f"Kept of {community}", ["what", "for"], rows))


def erase(
    member: Annotated[str, typer.Argument(help="The member's id")],
    community: CommunityOption,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Erase a member with their readings, assets and all that names them, for good."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    if not yes:
        typer.confirm(f"Everything of {member} in {community} will be removed for good. Go on?", abort=True)
    with connect(url) as client:
        erased = client.erase_member(community, member)
    if as_json:
        output.console.print_json(data=erased)
        return
    rows = [(sentence, f"{erased[name]:,}") for name, sentence in _ERASED.items()]
    output.console.print(output.table(f"Erased with {member}", ["what", "count"], rows))


def _days(text: str, name: str) -> int | None:
    if text == ALL:
        return None
    if not text.isdecimal():
        flag = "--" + name.replace("_", "-")
        raise InvalidInput(f"{flag} must be a number of days or {ALL!r}, got {text!r}", field=name)
    return int(text)


def _keeps_less(kept: dict[str, Any], changed: dict[str, int | None]) -> bool:
    return any(days is not None and (kept[name] is None or days < kept[name]) for name, days in changed.items())


def _meant(days: int | None) -> str:
    return "ever" if days is None else f"{days:,} day{'s' * (days != 1)}"

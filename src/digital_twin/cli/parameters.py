"""Parameters that several commands share."""

from datetime import UTC, datetime
from typing import Annotated

import typer


def instant(text: str) -> datetime:
    """An ISO 8601 time; UTC where it does not say otherwise."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time such as 2026-03-01T00:00:00Z or 2026-03-01") from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def comma_separated(text: str) -> list[str]:
    """The names between the commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


Url = Annotated[str | None, typer.Option(help="The server; default: the one of the last log-in")]
CommunityOption = Annotated[str, typer.Option("--community", help="The community's id")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON")]

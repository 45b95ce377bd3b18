"""`digital-twin import` and `export`: readings from files to the twin and back."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from digital_twin.cli.flags import flag, with_flags
from digital_twin.cli.meter_files.options import DOUBT, ImportOptions
from digital_twin.cli.parameters import CommunityOption, Url, comma_separated, instant
from digital_twin.domain import errors

File = Annotated[
    Path, typer.Argument(help="CSV, Parquet, Arrow or XLSX; one column per home, or one row per home and time")
]
DryRun = Annotated[bool, flag(DOUBT, "Show what would be imported", "--dry-run")]


@with_flags
def import_readings(
    file: File, community: CommunityOption, options: ImportOptions, dry_run: DryRun = False, url: Url = None
) -> None:
    """Import a meter file; shows what it guessed, and asks by a flag where a guess would change numbers."""
    from digital_twin.cli import import_report, output
    from digital_twin.cli.credentials import connect
    from digital_twin.cli.meter_files.meter_file import read_meter_file
    from digital_twin.cli.upload import upload

    zone = _community_zone(community, url, is_needed=not dry_run)
    read = read_meter_file(file, replace(options, community_zone=zone))
    import_report.show_meter_file(read)
    if dry_run:
        output.console.print("nothing was sent; leave out --dry-run to import")
        return
    with connect(url) as client, output.progress("sending", sum(one.values.size for one in read.columns)) as advance:
        counts, reasons = upload(client, community, read, advance)
    import_report.show_counts(counts, reasons)


def _community_zone(community: str, url: str | None, *, is_needed: bool) -> str | None:
    """The community's zone; also tells before a long file is read that it is there."""
    from digital_twin.cli.credentials import connect

    try:
        with connect(url) as client:
            return client.community(community)["timezone"]  # none where the community names none
    except (errors.NotAllowed, errors.Unavailable) as error:
        if is_needed and (error.kind != errors.NotAllowed.kind):  # a key may be there to write readings alone
            raise
        return None


def export_readings(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    series: Annotated[str, typer.Option(help="Names, separated by commas")],
    start: Annotated[datetime, typer.Option(help="UTC unless it says otherwise", parser=instant, metavar="TIME")],
    end: Annotated[datetime, typer.Option(help="UTC unless it says otherwise", parser=instant, metavar="TIME")],
    member: Annotated[str | None, typer.Option(help="One member's series")] = None,
    output: Annotated[
        Path | None, typer.Option(help=".csv, .parquet or .arrow; default: CSV on standard output")
    ] = None,
    url: Url = None,
) -> None:
    """Write readings as CSV, Parquet or Arrow, of any length, in a form that import takes without a flag."""
    from digital_twin.cli.credentials import connect

    media_type = MEDIA_TYPES.get(".csv" if output is None else output.suffix.lower())
    if media_type is None:
        raise errors.InvalidInput(f"--output must end in {', '.join(MEDIA_TYPES)}", field="output")
    with connect(url) as client, written(output) as file:
        client.download(
            community, comma_separated(series), start, end, file=file, media_type=media_type, member_id=member
        )


MEDIA_TYPES = {
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.stream",
}


@contextmanager
def written(path: Path | None) -> Generator[BinaryIO]:
    """A file that bears its name only when it is whole, or standard output."""
    if path is None:
        yield sys.stdout.buffer
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

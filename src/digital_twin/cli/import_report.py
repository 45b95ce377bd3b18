"""What an import guessed, found and did, for the one who runs it."""

from rich.markup import escape
from rich.table import Table

from digital_twin.cli.meter_files.guesses import MeterFile
from digital_twin.cli.output import console, table
from digital_twin.cli.upload import Counts

SHOWN_ALIKE = 4
_COUNTS = {
    "members added": "members added to the community",
    "received": "readings sent",
    "stored": "stored",
    "duplicate": "already there with the same value",
    "corrected": "replaced another value",
    "superseded": "overtaken by a later value",
    "rejected": "refused",
}


def show_meter_file(file: MeterFile) -> None:
    """What was guessed and found in a file, and what is in it."""
    if file.guesses:
        console.print(_guessed(file))
    if file.findings:
        console.print(_found(file))
    names = sorted({one.key.name for one in file.columns})
    steps = sorted({one.grid.step_minutes for one in file.columns})
    start, end = min(one.grid.start for one in file.columns), max(one.grid.end for one in file.columns)
    members = file.members
    whose = f"of {len(members)} member{'s' * (len(members) != 1)}" if members else "of the community as a whole"
    console.print(
        f"{file.readings:,} readings {whose}: {', '.join(names)} every {', '.join(map(str, steps))} min "
        f"from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC",
        highlight=False,
        soft_wrap=True,
    )


def show_counts(counts: Counts, reasons: list[str]) -> None:
    """What became of the readings that were sent."""
    rows = [
        (sentence, f"{counts[name]:,}") for name, sentence in _COUNTS.items() if counts.get(name) or name == "stored"
    ]
    console.print(table("Imported", ["what", "count"], rows))
    for reason in reasons:
        console.print(f"refused: {reason}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _guessed(file: MeterFile) -> Table:
    """The guesses; of many alike, the first ones."""
    rows: list[tuple[str, str, str]] = []
    alike: dict[tuple[str, str, str], int] = {}
    for one in file.guesses:
        kind = (
            one.what.partition(" of ")[0].partition(" ")[0],
            one.value,
            "" if "name" in one.because else one.because,
        )
        alike[kind] = alike.get(kind, 0) + 1
        if alike[kind] <= SHOWN_ALIKE:
            rows.append((escape(one.what), escape(one.value), escape(one.because)))
    for (what, value, _), count in alike.items():
        if count > SHOWN_ALIKE:
            rows.append((f"{what} of {count - SHOWN_ALIKE} more", escape(value), "likewise"))
    return table(
        "Guessed from the file; a flag settles each (see --help)", ["what", "as", "because"], rows, is_text=True
    )


def _found(file: MeterFile) -> Table:
    """The findings, those of one kind together."""
    grouped: dict[str, list[int]] = {}
    first: dict[str, str] = {}
    for one in file.findings:
        totals = grouped.setdefault(one.kind, [0, 0])
        totals[0] += one.count
        totals[1] += 1
        first.setdefault(one.kind, f"{one.series}: {one.example}" if one.example else one.series)
    rows = [(escape(kind), f"{count:,}", series, escape(first[kind])) for kind, (count, series) in grouped.items()]
    return table("Found in the file", ["what", "how many", "series", "first"], rows, is_text=True)

"""`digital-twin synthetic`: a community of believable homes, into files or into a community of the twin."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digital_twin.cli.flags import flag, with_flags
from digital_twin.cli.parameters import Url
from digital_twin.cli.registration import asset_document
from digital_twin.domain.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from digital_twin.cli.synthetic_files import Folder
    from digital_twin.domain.readings import SeriesValues
    from digital_twin.simulation.synthetic import Recipe, SyntheticCommunity

WHERE, WHAT = "Where and when", "What homes have"
VIENNA = (48.2, 16.4, "Europe/Vienna")


SHARE = dict[str, Any](min=0.0, max=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Where and when the homes are, what they have, and which of many such communities it is."""

    year: Annotated[int | None, flag(WHERE, "In UTC; default: the last one", min=1970, max=2100)] = None
    resolution: Annotated[int, flag(WHERE, "Minutes per interval, a divisor of 60", min=1, max=60)] = 15
    latitude: Annotated[float | None, flag(WHERE, "Default: the community's, or Vienna's")] = None
    longitude: Annotated[float | None, flag(WHERE, "East of Greenwich")] = None
    timezone: Annotated[str | None, flag(WHERE, "Whose clock people live by")] = None
    pv: Annotated[float, flag(WHAT, "Share of homes with PV", **SHARE)] = 0.4
    battery: Annotated[float, flag(WHAT, "Share of those with a battery", **SHARE)] = 0.5
    ev: Annotated[float, flag(WHAT, "Share of homes with an electric vehicle", **SHARE)] = 0.2
    heat_pump: Annotated[float, flag(WHAT, "Share of homes with a heat pump", **SHARE)] = 0.25
    seed: Annotated[int, typer.Option(min=0, help="Another one is another community")] = 1

    def recipe(self, homes: int, known: dict[str, Any]) -> "Recipe":
        """Of so many homes, at the place that is asked for, else that of the community, else Vienna."""
        from digital_twin.domain.time import TimeGrid
        from digital_twin.simulation.synthetic import Recipe, Shares

        if 60 % self.resolution:
            raise InvalidInput(f"resolution must divide 60, got {self.resolution}", field="resolution")
        first = datetime(self.year or datetime.now(UTC).year - 1, 1, 1, tzinfo=UTC)
        grid = TimeGrid.spanning(first, first.replace(year=first.year + 1), self.resolution)
        place = _place(self.latitude, self.longitude, self.timezone, known)
        return Recipe(homes, place, grid, self.seed, Shares(self.pv, self.battery, self.ev, self.heat_pump))


@with_flags
def make_synthetic(
    homes: Annotated[int, typer.Option(min=1, max=100_000, help="How many")],
    wanted: Wanted,
    out: Annotated[Path | None, typer.Option(help="A folder for Parquet files")] = None,
    community: Annotated[str | None, typer.Option(help="Or the community whose members they become")] = None,
    url: Url = None,
) -> None:
    """Make a year of homes with PV, batteries, vehicles and heat pumps; the same again from the same seed."""
    from digital_twin.simulation.synthetic import SyntheticCommunity

    if (out is None) == (community is None):
        raise InvalidInput("give either --out, a folder for files, or --community, where the homes become members")
    made = SyntheticCommunity(wanted.recipe(homes, _registered(community, url) if community else {}))
    if out is not None:
        _write(made, out)
    elif community is not None:
        _send(made, community, url)


def _registered(community: str, url: str | None) -> dict[str, Any]:
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        return client.community(community)


def _place(latitude: float | None, longitude: float | None, timezone: str | None, known: dict[str, Any]) -> Any:
    """What is asked for, else what the community says, else Vienna."""
    from digital_twin.domain.assets import check_range
    from digital_twin.domain.time import time_zone
    from digital_twin.simulation.place import Place

    if (latitude is None) != (longitude is None):
        raise InvalidInput("latitude and longitude must be given together", field="latitude")
    if latitude is None or longitude is None:
        latitude, longitude = known.get("latitude"), known.get("longitude")
    if latitude is None or longitude is None:
        latitude, longitude = VIENNA[:2]
    zone = timezone or known.get("timezone") or VIENNA[2]
    check_range(latitude, "latitude", -90, 90)
    check_range(longitude, "longitude", -180, 180)
    time_zone(zone)
    return Place(latitude, longitude, zone)


def _write(made: "SyntheticCommunity", out: Path) -> None:
    from digital_twin.cli import output
    from digital_twin.cli.synthetic_files import Folder

    with Folder(out) as folder, output.progress("making homes", len(made.homes)) as advance:
        folder.write_registry(made)
        folder.write_weather(made.sky)
        for home in made.series():
            folder.write_home(made.recipe.grid, home)
            advance(1)
    output.console.print(output.table(f"written to {out}", ["file", "what", "rows"], _files(folder), is_text=True))


def _files(folder: "Folder") -> list[tuple[str, str, str]]:
    return [(name, what, f"{rows:,}") for name, what, rows in folder.contents()]


def _send(made: "SyntheticCommunity", community: str, url: str | None) -> None:
    """Members, their assets, and readings home by home; what is sent again counts as duplicate."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect
    from digital_twin.cli.import_report import show_counts
    from digital_twin.cli.upload import MEMBERS_PER_BATCH, send_readings

    members = {home.member_id: f"Synthetic home {home.number + 1}" for home in made.homes}
    assets = [asset_document(asset) for home in made.homes for asset in home.assets]
    values = sum(2 + bool(home.roof) + bool(home.battery) for home in made.homes) * made.recipe.grid.steps
    with connect(url) as client, output.progress("sending homes", values) as advance:
        known = {member["member_id"]: member["name"] for member in client.members(community)}
        taken = [member for member, name in members.items() if known.get(member, name) != name]
        if taken:
            raise Conflict(f"{taken[0]} is a member of {community} already, whose readings would change")
        documents = [{"member_id": member, "name": name} for member, name in members.items()]
        for first in range(0, len(documents), MEMBERS_PER_BATCH):
            client.put_members(community, documents[first : first + MEMBERS_PER_BATCH])
        for first in range(0, len(assets), MEMBERS_PER_BATCH):
            client.put_assets(community, assets[first : first + MEMBERS_PER_BATCH])
        counts, reasons = send_readings(client, community, _readings(made), advance)
    show_counts({"members added": len(members.keys() - known.keys())} | counts, reasons)


def _readings(made: "SyntheticCommunity") -> Iterator["SeriesValues"]:
    """What the meters say, home by home, to the watt."""
    import numpy as np

    from digital_twin.domain.readings import SeriesKey, SeriesValues

    for series in made.series():
        for name, values in series.readings.items():
            yield SeriesValues(SeriesKey(name, series.home.member_id), made.recipe.grid, np.round(values, 3))

"""Which country's clocks a time zone keeps: told by the time zone database that is installed with the program."""

from functools import cache
from importlib.resources import files


def country_of(zone: str) -> str | None:
    """The ISO 3166 code of the country whose clocks the zone keeps; None for UTC and the like."""
    return _countries().get(zone)


@cache
def _countries() -> dict[str, str]:
    """Source: zone.tab of the IANA time zone database."""
    lines = (files("tzdata") / "zoneinfo" / "zone.tab").read_text().splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {zone: country for country, _, zone, *_ in rows}

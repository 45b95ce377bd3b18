"""Where a community is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sun is seen from and which clock people live by."""

    latitude: float
    longitude: float
    timezone: str

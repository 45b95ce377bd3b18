"""Time zones tell the country whose holidays count."""

import pytest

from digital_twin.services.countries import country_of


@pytest.mark.parametrize(
    ("zone", "country"), [("Europe/Vienna", "AT"), ("Europe/Madrid", "ES"), ("UTC", None), ("Etc/GMT-1", None)]
)
def test_a_zone_tells_the_country(zone: str, country: str | None) -> None:
    assert country_of(zone) == country

"""Numbers as people read them."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digital_twin.dashboard.wording import (
    UNKNOWN,
    duration,
    is_known,
    listed,
    money,
    name_of,
    number,
    percent,
    price,
    quantity,
    spoken,
)  # fmt: skip

ANY_NUMBER = st.one_of(st.none(), st.floats())


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.001, "-0.0010"), (-0.00001, "0"), (0.1234, "0.12"), (99.96, "100"), (47.24, "47.2"),
     (24.0, "24"), (1234.5, "1,234"), (-40.84, "-40.8"), (None, UNKNOWN), (math.nan, UNKNOWN), (math.inf, UNKNOWN)],
)  # fmt: skip
def test_a_number_has_the_digits_that_mean_something(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(46.927, "EUR", "€46.93"), (-0.001, "EUR", "€0.00"), (-3.5, "GBP", "-£3.50"), (12345.6, "CHF", "12,346 CHF"),
     (math.nan, "EUR", UNKNOWN)],
)  # fmt: skip
def test_money_names_its_currency(amount: float, currency: str, text: str) -> None:
    assert money(amount, currency) == text


def test_prices_have_a_thousandth_and_no_minus_before_nothing() -> None:
    assert price(0.3, "EUR") == "€0.300/kWh"
    assert price(-0.0001, "EUR") == "€0.000/kWh"
    assert price(-0.05, "CHF") == "-0.050 CHF/kWh"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(-0.0004, "0 %"), (0.0, "0 %"), (0.004, "0.4 %"), (0.5, "50 %"), (0.996, "99.6 %"), (1.0, "100 %")],
)
def test_a_percentage_shows_tenths_only_near_its_ends(fraction: float, text: str) -> None:
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "less than a minute"), (60, "1 minute"), (7300, "2 hours"), (90_000, "1 day")]
)
def test_spans_of_time_are_said_in_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_names_keep_the_capitals_of_an_abbreviation_inside_a_sentence() -> None:
    assert (name_of("pv_kw"), spoken("pv_kw"), spoken("load_kw")) == ("PV", "PV", "demand")
    assert name_of("something_new_kwh") == "Something new"
    assert listed(["a", "b", "c"]) == "a, b and c"


@given(ANY_NUMBER)
def test_whatever_the_number_the_text_is_a_number_or_says_unknown(value: float | None) -> None:
    pattern = re.compile(r"-?\d[\d,]*(\.\d+)?")
    for text in (number(value), quantity(value, "kW"), money(value, "EUR"), percent(value), price(value, "CHF")):
        plain = re.sub(r"€| %| kW| CHF/kWh", "", text)
        assert (plain == UNKNOWN) if not is_known(value) else pattern.fullmatch(plain), text
    assert duration(value)

"""The Tariff page as an operator fills it in: what is asked for, and what is told where there is no tariff."""

from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from tests.dashboard import documents

from digital_twin.domain.errors import Infeasible

ASKED: list[dict[str, Any]] = []
CONFLICT = Infeasible(
    "no tariff respects every limit",
    limits=[{"limit": "incentive_budget", "relax_by": 3.0, "unit": "currency per day", "alone": True}],
)


class Designing:
    """Keeps what is asked; below a lowest price of 0 there is no tariff."""

    def results(self, _: str) -> Iterator[Any]:
        yield {"result_id": "tariff-1", "kind": "tariff", "start": documents.START, "welfare_change": 1.86}

    def result(self, *_: str) -> Any:
        return documents.tariff()

    def design_tariff(self, _: str, **asked: Any) -> Any:
        ASKED.append(asked)
        if asked["price_bounds"] is not None and asked["price_bounds"]["low"] < 0:
            raise CONFLICT
        return documents.tariff()


def page() -> None:
    """The page's script."""
    from tests.dashboard import documents
    from tests.dashboard.test_tariff_page import Designing

    from digital_twin.dashboard.pages import tariff
    from digital_twin.dashboard.visit import Visit

    tariff.show(Visit(Designing(), documents.community(), True))  # type: ignore[arg-type]


@pytest.fixture
def app() -> AppTest:
    ASKED.clear()
    shown = AppTest.from_function(page, default_timeout=300).run()
    assert not shown.exception
    return shown


def designed(app: AppTest, *, low: float | None, high: float | None) -> AppTest:
    fields = {one.label.split()[0]: one for one in app.number_input}
    fields["Lowest"].set_value(low)
    fields["Highest"].set_value(high)
    shown = app.button[0].click().run()
    assert not shown.exception
    return shown


def test_bounds_are_those_of_the_server_unless_they_are_given(app: AppTest) -> None:
    designed(app, low=None, high=None)
    designed(app, low=0.1, high=0.5)
    assert [one["price_bounds"] for one in ASKED] == [None, {"low": 0.1, "high": 0.5}]


def test_one_bound_alone_is_not_asked_for(app: AppTest) -> None:
    shown = designed(app, low=0.1, high=None)
    assert [one.value for one in shown.warning] == ["Give both the lowest and the highest price, or neither."]
    assert not ASKED


def test_where_there_is_no_tariff_a_way_on_is_told_and_earlier_ones_stay(app: AppTest) -> None:
    shown = designed(app, low=-0.1, high=0.5)
    assert [one.value for one in shown.error] == ["No tariff keeps to all of these limits."]
    assert any("allow 3 EUR more for incentives a day" in one.value for one in shown.markdown)
    assert len(shown.metric) == 4
    assert any("proved" in one.value for one in shown.caption)

"""The script behind the pages: what people are told when something is missing or goes wrong."""

from collections.abc import Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from tests.dashboard import documents

from digital_twin.client import SignInNeeded
from digital_twin.dashboard.server import SCRIPT
from digital_twin.dashboard.session import SESSIONS, Session
from digital_twin.domain.errors import NotAllowed, TwinError, Unavailable

Document = dict[str, Any]


class FakeTwin:
    """A community as one account sees it; `failing` is what every question about its state ends with."""

    def __init__(self, role: str = "operator", failing: TwinError | None = None) -> None:
        self.role, self.failing = role, failing

    def me(self) -> Document:
        return {
            "username": "ada",
            "role": "viewer",
            "communities": [{"community_id": "sun_hill", "role": self.role}],
        }

    def communities(self) -> Iterator[Document]:
        yield documents.community()

    def state(self, community_id: str) -> Document:
        if self.failing is not None:
            raise self.failing
        return documents.state()

    def state_history(self, *_: Any) -> Document:
        return documents.history()

    def state_prediction(self, *_: Any) -> Document:
        return documents.prediction()

    def state_meters(self, *_: Any, **__: Any) -> Document:
        if self.role == "home":
            raise NotAllowed("the role viewer does not have members:read")
        return documents.state_meters(
            documents.state_meter("home_2", "dead"), documents.state_meter("home_1", "reporting"), dead=1, reporting=1
        )

    def quality(self, *_: Any, **__: Any) -> Document:
        return documents.quality(
            documents.meter("home_2", missing=96, last_reading_end=None), documents.meter("home_1")
        )

    def logout(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(twin: FakeTwin | None) -> AppTest:
        st.cache_data.clear()
        session = None if twin is None else Session("key", "ada", twin, float("inf"))  # type: ignore[arg-type]
        monkeypatch.setattr(SESSIONS, "_open", {} if session is None else {"key": session})
        monkeypatch.setattr("digital_twin.dashboard.guard.session_key", lambda _: "key")
        return AppTest.from_file(SCRIPT, default_timeout=300).run()

    return run


def said(app: AppTest) -> str:
    kinds = (app.markdown, app.warning, app.error, app.info, app.caption)
    return "\n".join(str(one.value) for kind in kinds for one in kind)


def test_the_state_is_told_with_its_figures_and_its_flow(visit: Any) -> None:
    app = visit(FakeTwin())
    assert not app.exception
    assert [one.value for one in app.metric] == ["40 kW", "60 kW", "-20 kW", "52.2 kWh"]
    assert "PV gives 60 kW" in said(app)
    assert "The newest reading is 5 minutes old" in said(app)
    assert "Of 2 meters 1 is silent in the last 24 hours" in said(app)
    assert "home_2" in str(app.table[-1].value)
    assert "Demand is expected to be highest on Monday 02\\:00 with 40 kW" in said(app)
    assert "Of 2 meters 1 is dead now" in said(app)
    assert "home\\_2 would help most" in said(app)


def test_a_home_is_told_nothing_of_other_homes_meters(visit: Any) -> None:
    app = visit(FakeTwin(role="home"))
    assert not app.exception
    assert "Of 2 meters 1 is silent in the last 24 hours" in said(app)
    assert "is dead" not in said(app)
    assert not app.error


def test_a_problem_is_told_in_its_own_sentence_with_a_way_to_try_again(visit: Any) -> None:
    twin = FakeTwin(failing=Unavailable("no answer from the API; is the server running?"))
    app = visit(twin)
    assert [one.value for one in app.error] == ["No answer from the API; is the server running?"]
    twin.failing = None
    assert [one.label for one in app.button] == ["Try again"]
    again = visit(twin)
    assert not again.error
    assert len(again.metric) == 4


def test_who_is_signed_out_meanwhile_is_asked_to_log_in(visit: Any) -> None:
    for twin in (None, FakeTwin(failing=SignInNeeded("the session has ended"))):
        app = visit(twin)
        assert "Log in again" in app.warning[0].value
        assert not app.metric
        assert not app.exception

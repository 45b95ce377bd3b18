"""The Model lab as operators and viewers meet it: what is shown, asked for and refused."""

from collections.abc import Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from tests.dashboard import documents

from digital_twin.domain.errors import InsufficientData

Document = dict[str, Any]


class FakeTwin:
    """A community whose demand an ensemble answers for, and whose PV nobody trained a model for."""

    def __init__(self, *runs: Document, refuses: bool = False) -> None:
        self.known_runs, self.refuses = list(runs), refuses
        self.asked: list[tuple[str, Document]] = []

    def models(self, community_id: str) -> Document:
        described = {"needs": "nothing", "reference": "a book"}
        both = ["load_kw", "pv_kw", "net_load_kw"]
        return {
            "models": [
                {"name": "seasonal_naive", "variables": both, "learns": False, **described},
                {"name": "ridge_conformal", "variables": both, "learns": True, **described},
                {"name": "ensemble", "variables": ["load_kw"], "learns": True, **described},
            ],
            "trained": [documents.version(ensemble=documents.ensemble(ridge=0.4, boosting=0.6))],
            "drift": {"load_kw": documents.drift(is_degraded=False, evidence=3.0)},
        }

    def forecast(self, community_id: str, **request: Any) -> Document:
        [variable] = request["variables"]
        label = request["model"]
        if label == "auto":
            label = "ensemble, trained version 2 of now" if variable == "load_kw" else "ridge_conformal"
        made = documents.forecast()
        return {**made, "variables": {variable: made["variables"]["load_kw"]}, "models": {variable: label}}

    def runs(self, community_id: str) -> Iterator[Document]:
        yield from self.known_runs

    def backtest_result(self, community_id: str, result_id: str) -> Document:
        return {"variables": {"load_kw": documents.backtest(ridge=3.0)}}

    def train(self, community_id: str, **request: Any) -> Document:
        if self.refuses:
            raise InsufficientData("training needs 21 days of readings, found 3", found=3)
        self.asked.append(("training", request))
        return {}

    def backtest(self, community_id: str, models: list[str], **request: Any) -> Document:
        self.asked.append(("backtest", {"models": models, **request}))
        return {}


def a_run(kind: str, state: str, **changes: Any) -> Document:
    return {"run_id": f"{kind}-1", "kind": kind, "state": state, "created_at": documents.START, **changes}


def lab(twin: FakeTwin, *, may_run: bool = True) -> AppTest:
    def page(twin: "Any", may_run: "Any") -> None:
        from tests.dashboard import documents

        from digital_twin.dashboard.pages.models import show
        from digital_twin.dashboard.visit import Visit

        show(Visit(twin, documents.community(), may_run))

    st.cache_data.clear()
    app = AppTest.from_function(page, args=(twin, may_run), default_timeout=300).run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    return "\n".join(str(one.value) for kind in (app.markdown, app.info, app.error) for one in kind)


def test_what_answers_is_told_with_its_members_its_backtest_and_its_forecast() -> None:
    app = lab(FakeTwin(a_run("backtest", "succeeded")))
    assert [one.value for one in app.subheader] == [
        "Loss on days not learned from", "What members weigh", "Against the seasonal naive", "Do intervals hold?",
        "Loss by hours ahead", "Demand",
    ]  # fmt: skip
    assert "Demand is forecast by the model Ensemble, trained on" in said(app)
    assert "they have not become worse" in said(app)
    assert "Ridge did best" in said(app)


def test_a_variable_that_nothing_was_trained_or_backtested_for_says_so() -> None:
    app = lab(FakeTwin(a_run("backtest", "succeeded")))
    app.segmented_control[0].set_value("pv_kw").run()
    assert not app.exception
    assert [one.value for one in app.subheader] == ["PV"]
    assert "fitted anew whenever it is asked" in said(app)
    assert "This backtest was not asked about PV." in said(app)


def test_who_may_only_look_sees_all_of_it_but_no_button() -> None:
    app = lab(FakeTwin(a_run("backtest", "succeeded")), may_run=False)
    assert not app.button
    assert said(app).count("You may look at this community but not") == 2
    assert "Ridge did best" in said(app)


@pytest.mark.parametrize(
    ("chosen", "asked"), [([], {}), (["ensemble"], {"models": ["ensemble"], "variables": ["load_kw"]})]
)
def test_an_operator_trains_what_answers_or_what_they_name(chosen: list[str], asked: Document) -> None:
    twin = FakeTwin()
    app = lab(twin)
    app.multiselect[0].set_value(chosen)
    next(one for one in app.button if one.label == "Train now").click().run()
    assert not app.exception
    assert twin.asked == [("training", asked)]


def test_an_operator_backtests_the_chosen_models_of_the_chosen_variable() -> None:
    twin = FakeTwin()
    app = lab(twin)
    app.multiselect[1].set_value(["ridge_conformal", "ensemble"])
    app.selectbox[0].set_value(28)
    next(one for one in app.button if one.label == "Backtest").click().run()
    assert not app.exception
    wanted = {"models": ["ridge_conformal", "ensemble"], "variables": ["load_kw"], "days": 28, "refit_days": 7}
    assert twin.asked == [("backtest", wanted)]


def test_a_backtest_of_no_model_asks_to_choose_one() -> None:
    twin = FakeTwin()
    app = lab(twin)
    app.multiselect[1].set_value([])
    next(one for one in app.button if one.label == "Backtest").click().run()
    assert [one.value for one in app.warning] == ["Choose at least one model."]
    assert not twin.asked


def test_what_cannot_be_trained_is_told_in_its_own_words_and_the_rest_of_the_page_stays() -> None:
    app = lab(FakeTwin(refuses=True))
    next(one for one in app.button if one.label == "Train now").click().run()
    assert not app.exception
    assert "Training needs 21 days of readings, found 3." in said(app)
    assert app.subheader[-1].value == "Demand"


def test_a_training_that_failed_says_why() -> None:
    app = lab(FakeTwin(a_run("training", "failed", problem={"detail": "the readings are gone"})))
    assert "Training failed\\: the readings are gone." in said(app)
    assert "There is no backtest yet." in said(app)

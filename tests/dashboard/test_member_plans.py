"""Plans for members on the Dispatch page: who charges when, who saves what, and a member's own day."""

from datetime import UTC
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from tests.dashboard import documents
from tests.dashboard.test_charts import drawn

from digital_twin.dashboard.charts import member_plans as charts
from digital_twin.dashboard.findings import member_plans as findings
from digital_twin.dashboard.visit import bound_member
from digital_twin.domain.errors import InsufficientData

START = documents.START


def plan(**changes: Any) -> dict[str, Any]:
    """Four hours of three members, two of whom charge at the first and give back at the last."""
    return {
        "result_id": "plan-9", "kind": "member_dispatch", "status": "optimal", "gap": 4e-5, "start": START,
        "resolution_minutes": 60, "members": 3, "storages": 2, "vehicles": 0, "charging_members": [2, 1, 0, 0],
        "discharging_members": [0, 0, 0, 2], "import_kw": [9.0, 4.0, 3.0, 0.0], "export_kw": [0.0, 0.0, 0.0, 1.0],
        "rule_import_kw": [2.0, 3.0, 3.0, 12.0], "rule_export_kw": [0.0] * 4, "cost": 4.2, "peak_kw": 9.0,
        "savings": {"baseline": "self_consumption_rule", "cost_without_control": 6.2, "saved": 2.0},
        "fairness": {
            "saved_quantiles": {"0": -0.1, "0.1": 0.0, "0.25": 0.1, "0.5": 0.6, "0.75": 1.0, "0.9": 1.2, "1": 1.5},
            "worse_off_members": 1, "members_with_storage": 2, "shared_by_nobody": 0.0,
        },
        "provenance": documents.provenance("two batteries are half full"), **changes,
    }  # fmt: skip


def own(**changes: Any) -> dict[str, Any]:
    """One member's four hours."""
    return {
        "member_id": "home_2", "result_id": "plan-9", "start": START, "resolution_minutes": 60,
        "cost": 1.4, "saved": 0.6,
        "load_kw": [1.0, 1.0, 2.0, 3.0], "pv_kw": [0.0, 2.0, 1.0, 0.0], "charge_kw": [2.0, 1.0, 0.0, 0.0],
        "discharge_kw": [0.0, 0.0, 0.0, 2.5], "soc_kwh": [3.0, 4.0, 4.0, 1.4], "curtailed_kw": [0.0] * 4, **changes,
    }  # fmt: skip


def test_the_sum_is_what_is_imported_less_what_is_exported():
    frame = charts.members_frame(plan(), UTC)
    assert list(frame["net_kw"]) == [9.0, 4.0, 3.0, -1.0]
    assert list(frame["rule_net_kw"]) == [2.0, 3.0, 3.0, 12.0]


@pytest.mark.parametrize(("limit_kw", "told"), [(10.0, True), (1000.0, False)])
def test_a_limit_is_drawn_where_it_is_near(limit_kw: float, told: bool):
    chart = charts.connection_chart(plan(), (limit_kw, 1000.0), UTC)
    assert ("import limit" in str(drawn(chart))) is told


def test_the_hour_with_most_charging_is_named():
    frame = charts.members_frame(plan(), UTC)
    assert "2 of 3 members" in findings.activity_finding(frame, 3, UTC)
    nobody = charts.members_frame(plan(charging_members=[0] * 4), UTC)
    assert findings.activity_finding(nobody, 3, UTC) == "Nobody charges."


def test_who_pays_more_is_told_and_how_much():
    told = findings.savings_sentence(plan(), "EUR")
    assert "1 of 3 pay more, at most" in told
    fair = plan(fairness={**plan()["fairness"], "worse_off_members": 0})
    assert "nobody pays more" in findings.savings_sentence(fair, "EUR")
    assert "0.004 %" in findings.certificate_sentence(plan())


@pytest.mark.parametrize(("saved", "word"), [(0.6, "less"), (-0.2, "more")])
def test_a_member_is_told_what_their_plan_saves(saved: float, word: str):
    assert word in findings.own_finding(own(saved=saved), "EUR")


@pytest.mark.parametrize(
    "chart", [lambda: charts.activity_chart(plan(), UTC), lambda: charts.own_chart(own(), UTC)], ids=["all", "own"]
)
def test_pictures_are_drawn(chart: Any):
    assert drawn(chart())


@pytest.mark.parametrize(
    ("me", "member"),
    [
        ({"role": "viewer", "communities": [{"community_id": "here", "member_id": "home_2"}]}, "home_2"),
        ({"role": "viewer", "communities": [{"community_id": "here", "member_id": None}]}, None),
        ({"role": "viewer", "communities": [{"community_id": "there", "member_id": "home_2"}]}, None),
        ({"role": "admin", "communities": [{"community_id": "here", "member_id": "home_2"}]}, None),
    ],
)
def test_who_is_bound_to_a_member_sees_that_one_alone(me: dict[str, Any], member: str | None):
    assert bound_member(me, "here") == member


class KnownPlans:
    """A client that knows one plan."""

    def results(self, _: str) -> Any:
        yield {"result_id": "plan-9", "kind": "member_dispatch", "start": START}

    def result(self, *_: str) -> Any:
        return plan()

    @property
    def member_plans(self) -> "KnownPlans":
        return self

    @property
    def plans(self) -> "KnownPlans":
        return self

    def explanation(self, *_: str, **__: Any) -> Any:
        return {"limits": [{"text": "The fuse of home_2 holds back."}], "actions": [], "notes": []}

    def kpis(self, *_: str) -> Any:
        raise InsufficientData("nothing is known of the last week")

    def of(self, _: str, member_id: str, **__: Any) -> Any:
        return own(member_id=member_id)


def page(member_id: str | None) -> None:
    """The page's script."""
    from tests.dashboard import documents
    from tests.dashboard.test_member_plans import KnownPlans

    from digital_twin.dashboard.pages import dispatch
    from digital_twin.dashboard.visit import Visit

    dispatch.show(Visit(KnownPlans(), documents.community(), False, member_id))  # type: ignore[arg-type]


def told(member_id: str | None) -> AppTest:
    app = AppTest.from_function(page, default_timeout=300, args=(member_id,)).run()
    assert not app.exception
    return app


def test_the_page_tells_of_all_members():
    app = told(None)
    assert [one.value for one in app.metric][2:] == ["3", "1"]
    assert "Who charges when" in [one.value for one in app.subheader]
    assert any("holds back" in one.value for one in app.markdown)


def test_one_member_is_looked_up_by_name():
    app = told(None)
    app.text_input[0].set_value("home_2").run()
    assert "The plan of home_2" in [one.value for one in app.subheader]


def test_a_member_who_looks_is_shown_their_own_plan_and_nothing_else():
    app = told("home_2")
    assert [one.value for one in app.subheader] == ["The plan of home_2"]
    assert not app.metric

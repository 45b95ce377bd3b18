"""What the page Dispatch says of the last week."""

from typing import Any

from digital_twin.dashboard.findings.earnings import earnings_finding


def kpis(rule: float, idle: float, captured: float | None, known: float = 1.0) -> dict[str, Any]:
    baselines = {
        "self_consumption_rule": {"cost": 0.0, "saved": rule, "value_captured": None},
        "idle": {"cost": 0.0, "saved": idle, "value_captured": captured},
    }
    return {"known": known, "savings": {"baselines": baselines}}


def test_what_was_saved_is_told_beside_what_could_have_been() -> None:
    assert earnings_finding(kpis(1.5, 12.0, 0.62), "EUR") == (
        "The community paid €12.00 less than leaving the storage idle, 62 % of what the best possible plan would have "
        "saved; €1.50 less than the simple rule (charge surplus, discharge deficit)."
    )


def test_a_loss_and_gaps_are_told_as_such() -> None:
    assert earnings_finding(kpis(-2.0, 0.0, None, known=0.5), "EUR") == (
        "The community paid as much as leaving the storage idle; €2.00 more than the simple rule (charge surplus, "
        "discharge deficit). Readings tell of 50 % of the time."
    )

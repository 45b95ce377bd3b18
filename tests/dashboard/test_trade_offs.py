"""Trade-offs on the page: the sentence, the table, a picture that keeps to the schema."""

from typing import Any

from digital_twin.dashboard.charts.trade_offs import most_valuable_frame, trade_off_chart, trade_off_table
from digital_twin.dashboard.findings.trade_offs import trade_off_finding


def point(number: int, measure: float, cost: float, price: float | None = None) -> dict[str, Any]:
    return {
        "number": number, "measure": measure, "cost": cost, "price_per_unit": price,
        "emissions_kg": measure, "peak_kw": 10.0, "self_sufficiency": 0.5,
    }  # fmt: skip


FOUND: dict[str, Any] = {
    "against": "emissions",
    "unit": "kg",
    "points": [point(0, 100.0, 20.0), point(1, 80.0, 22.0, 0.2), point(2, 60.0, 30.0)],
}


def test_the_sentence_tells_both_ends_and_the_first_half() -> None:
    assert trade_off_finding(FOUND, "EUR") == (
        "Emissions can fall from 100 kg to 60 kg, which costs €10.00 more; 50% of that is to be had for €2.00."
    )


def test_one_plan_that_is_best_in_both_is_said_to_be() -> None:
    alone = {**FOUND, "points": FOUND["points"][:1]}
    assert trade_off_finding(alone, "EUR") == "The cheapest plan is also the best in this aim: 100 kg."


def test_the_picture_and_its_table_hold_every_plan() -> None:
    drawn = trade_off_chart(FOUND, "EUR").to_dict(validate=True)
    assert drawn["layer" if "layer" in drawn else "mark"]
    table = trade_off_table(FOUND, "EUR")
    assert table["Cost EUR"].tolist() == [20.0, 22.0, 30.0]


def test_who_would_gain_most_is_a_row_a_member_and_limit() -> None:
    found = {
        "unit": "EUR",
        "members": [
            {
                "limit": limit, "unit": unit,
                "most_valuable": [{"member_id": one, "objective_per_unit": -worth} for one, worth in worths.items()],
            }
            for limit, unit, worths in (
                ("capacity_kwh", "kWh", {"home_1": 0.31, "home_2": 0.2}), ("import_fuse_kw", "kW", {"home_2": 0.05}),
            )
        ],
    }  # fmt: skip
    table = most_valuable_frame(found)
    assert table.to_numpy().tolist() == [
        ["home_1", "Battery capacity", "1 kWh", 0.31],
        ["home_2", "Battery capacity", "1 kWh", 0.2],
        ["home_2", "Fuse, inwards", "1 kW", 0.05],
    ]
    assert table.columns.tolist() == ["Member", "Limit", "More", "Would save EUR"]

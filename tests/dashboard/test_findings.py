"""Sentences of finding: computed from the numbers, and never at a loss for one."""

import math
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dashboard import documents

from digital_twin.dashboard.charts import forecasts as forecast_charts
from digital_twin.dashboard.charts import meters as meter_charts
from digital_twin.dashboard.charts import scenarios as scenario_charts
from digital_twin.dashboard.charts import schedules as schedule_charts
from digital_twin.dashboard.charts import states as state_charts
from digital_twin.dashboard.charts import tariffs as tariff_charts
from digital_twin.dashboard.charts.quality import troubled_meters
from digital_twin.dashboard.findings import forecasts, meters, quality, scenarios, schedules, states, tariffs
from digital_twin.domain.suspicion import Reason

VIENNA = ZoneInfo("Europe/Vienna")
Document = dict[str, Any]
MAYBE = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(math.nan))
VALUES = st.lists(MAYBE, max_size=4)


def said_of_forecast(forecast: Document, variable: str = "load_kw") -> str:
    frame = forecast_charts.forecast_frame(forecast, variable, VIENNA)
    return forecasts.forecast_finding(forecast, variable, frame, VIENNA)


def test_a_forecasts_peak_is_told_with_its_certainty_in_local_time() -> None:
    assert said_of_forecast(documents.forecast()) == (
        "Demand is highest on Monday 03:00, at 50 kW (90 % sure: between 40 and 70 kW). It comes to 140 kWh in 4 hours."
    )


def test_a_night_without_sun_and_a_surplus_are_told_as_such() -> None:
    assert said_of_forecast(documents.forecast(pv_kw={"mean": [0.0] * 4}), "pv_kw").startswith("No sun")
    surplus = said_of_forecast(documents.forecast(net_load_kw={"mean": [-5.0, -10.0]}), "net_load_kw")
    assert surplus.endswith("Over 2 hours the community makes 15 kWh more than it needs.")


def test_a_plan_is_told_with_what_it_saves_against_both_baselines() -> None:
    assert schedules.savings_finding(documents.schedule(), "EUR") == (
        "The plan costs €18.36: €0.88 less than the simple rule (charge surplus, discharge deficit) and "
        "€6.39 less than leaving the storage idle."
    )
    assert schedules.savings_finding(documents.schedule(cost=-2.0, savings={}), "EUR").startswith(
        "The plan earns €2.00"
    )


def test_a_plan_is_told_with_where_its_energy_comes_from() -> None:
    frame = schedule_charts.schedule_frame(documents.schedule(), VIENNA)
    assert schedules.supply_finding(documents.schedule(), frame) == (
        "The community meets 37 % of its 105 kWh itself; 66.2 kWh come from the grid, at most 72.4 kW at once."
    )
    assert "fullest on Monday 01:30 (56 %)" in schedules.storage_finding(frame, 100.0, VIENNA)
    assert "dearest from Monday 02:00 (€0.400/kWh)" in schedules.price_finding(frame, "EUR", VIENNA)


def test_what_holds_a_plan_back_is_told_with_its_worth_in_the_aims_own_unit() -> None:
    (told,) = schedules.binding_sentences(documents.schedule(), "EUR", VIENNA)
    assert told == (
        "The power of the storage holds the plan back in 3 intervals, first on Monday 01:00; "
        "one kW more would save €0.14."
    )
    (told,) = schedules.binding_sentences(documents.schedule(objective="minimize_peak"), "EUR", VIENNA)
    assert told.endswith("one kW more would better the aim by 0.14.")


def test_silent_and_suspect_meters_are_told_in_a_sentence_and_a_table() -> None:
    sound, mute = documents.meter("home_1"), documents.meter("home_2", missing=96, last_reading_end=None)
    stuck = documents.meter("home_3", missing=24, suspect=48, reasons=["stuck", "spike"])
    meters = documents.quality(mute, stuck, sound)["meters"]
    assert quality.meters_finding(meters, 24) == (
        "Of 3 meters 1 is silent and 1 is hard to believe in the last 24 hours."
    )
    assert troubled_meters(meters, VIENNA).to_numpy().tolist() == [
        ["home_2", "Demand", "100 %", "0 %", "", "none"],
        ["home_3", "Demand", "25 %", "50 %", "shows one value for too long and single values stand out",
         "Mon 02 Mar 01:00"],
    ]  # fmt: skip


def test_sound_meters_are_told_as_such() -> None:
    one, two = documents.meter("home_1"), documents.meter("home_2")
    assert quality.meters_finding(documents.quality(one, two)["meters"], 48) == (
        "All 2 meters reported in the last 48 hours, and nothing in it is hard to believe."
    )
    assert quality.meters_finding(documents.quality(one)["meters"], 24).startswith("The only meter reported")
    assert troubled_meters(documents.quality(one, two)["meters"], VIENNA).empty


def test_every_reason_has_its_words() -> None:
    assert set(quality.REASONS) == set(Reason)


def test_the_flow_is_told_as_who_gives_and_who_takes() -> None:
    flow = state_charts.flow_of(documents.state(), documents.history(), documents.community())
    assert flow is not None
    assert (
        states.flow_sentence(flow)
        == "The homes use 40 kW: PV gives 60 kW, the storage takes 10 kW and the grid takes 10 kW."
    )
    assert states.own_supply_sentence(flow) == "The community covers itself and feeds 10 kW into the grid."


@pytest.mark.parametrize(
    ("coverage", "words"), [(None, "No meter"), (0.0, "No meter"), (0.5, "About half"), (0.73, "Most"), (1.0, "All of")]
)
def test_coverage_is_told_in_words(coverage: float | None, words: str) -> None:
    assert states.coverage_sentence(coverage).startswith(words)


def test_readings_that_are_late_or_missing_are_told() -> None:
    assert not states.is_stale(documents.state())
    assert states.is_stale(documents.state(data_age_s=3 * 3600.0))
    assert states.is_stale(documents.state(data_age_s=None))
    assert "late" in states.age_sentence(3 * 3600.0)


def test_a_storage_that_may_hold_anything_is_said_to_be_unknown() -> None:
    assert (
        states.stored_finding(documents.state(), 100.0)
        == "The storage holds 52.2 kWh (± 1.96 kWh), 52 % of what fits in."
    )
    unsure = documents.state(states={"storage_soc_kwh": {"mean": 50.0, "sd": 28.9}})
    assert "not known" in states.stored_finding(unsure, 100.0)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (None, ""),
        (
            {"own": -0.3, "source": "readings", "own_standard_error": 0.02, "rests_on": "900 hours"},
            "Where its price rises by 10 %, demand falls by 3 % (± 0.20 %), learned from 900 hours.",
        ),
        (
            {"own": -0.126, "source": "literature"},
            "Where its price rises by 10 %, demand falls by 1.26 %: the literature's mean, as the readings here do not "
            "tell.",
        ),
        ({"own": -0.2, "source": "request"}, "Where its price rises by 10 %, demand falls by 2 %, as was given."),
    ],
)
def test_a_tariff_tells_how_demand_is_taken_to_answer(known: Any, told: str) -> None:
    assert tariffs.elasticity_finding(documents.tariff(elasticity=known)) == told


def test_a_tariff_is_told_with_who_gains_and_what_it_costs() -> None:
    tariff = documents.tariff()
    assert tariffs.welfare_finding(tariff, "EUR") == (
        "All together are €1.86 better off (gain: operator's margin €3.00; lose: consumers €1.14)."
    )
    assert tariffs.budget_finding(tariff, "EUR") == (
        "Incentives cost €11.00 of €11.00 (100 %); one more EUR would better welfare by €0.08."
    )
    assert tariffs.demand_finding(tariff, VIENNA).startswith(
        "Demand grows by 10 kWh where energy becomes cheaper; 2 kWh less"
    )
    assert "from €0.200/kWh (Monday 01:00) to €0.360/kWh (Monday 02:00)" in tariffs.price_finding(tariff, "EUR", VIENNA)


def test_members_are_counted_in_a_sentence_that_also_fits_nobody() -> None:
    told = tariffs.distribution_finding(documents.tariff(), "EUR")
    assert told == "50 % of 2 members are better off; gains come to €0.50 and losses to €1.64."
    nobody = documents.tariff()["distribution"] | {"share_better_off": 0.0}
    assert tariffs.distribution_finding({"distribution": nobody}, "EUR").startswith("None of 2 members is better off;")


def test_a_limit_of_prices_is_worth_so_much_a_cent() -> None:
    bound = {"limit": "price_bounds.low", "intervals": 2, "first_interval": documents.START, "value_per_unit": 50.0}
    assert tariffs.binding_sentences(documents.tariff(binding=[bound]), "EUR", VIENNA) == [
        "The lowest price that is allowed is reached in 2 intervals, first on Monday 01:00; "
        "a cent more room is worth 0.50 EUR."
    ]


@pytest.mark.parametrize(
    ("limit", "worth"),
    [
        ("incentive_budget", "one EUR more a day is worth 5 EUR."),
        ("grid_import_limit_kw", "one kW more is worth 5 EUR."),
        ("revenue_floor", "one EUR less is worth 5 EUR."),
    ],
)
def test_the_worth_of_a_limit_is_told_in_its_unit(limit: str, worth: str) -> None:
    bound = {"limit": limit, "intervals": 2, "first_interval": None, "value_per_unit": 5.0}
    (told,) = tariffs.binding_sentences(documents.tariff(binding=[bound]), "EUR", VIENNA)
    assert told.endswith(worth)


def test_a_tariff_tells_whether_a_better_one_can_exist() -> None:
    assert tariffs.certainty_finding(documents.tariff(), "EUR") == (
        "It is proved that no tariff within these limits does better."
    )
    # 300 kWh at 0.30
    unsure = documents.tariff(status="feasible", gap=0.01)
    assert tariffs.certainty_finding(unsure, "EUR") == "A better tariff may exist: it would gain at most €0.90 more."
    assert tariffs.certainty_finding({}, "EUR") == ""


def test_limits_that_leave_no_tariff_are_told_with_what_would_make_room() -> None:
    budget = {"limit": "incentive_budget", "relax_by": 14.75, "unit": "currency per day", "alone": True}
    floor = {"limit": "revenue_floor", "relax_by": 10.0, "unit": "currency", "alone": True}
    assert tariffs.conflict_sentences([budget, floor], "EUR") == [
        "Any one of these would make room: allow 14.8 EUR more for incentives a day; or ask for 10 EUR less revenue."
    ]
    grid = {"limit": "grid_import_limit_kw", "relax_by": 5.0, "unit": "kW", "alone": False}
    assert tariffs.conflict_sentences([grid], "EUR") == [
        "Together these would make room: allow 5 kW more at the grid connection."
    ]
    assert tariffs.conflict_sentences([], "EUR") == []


def test_the_parts_of_welfare_that_are_drawn_sum_to_the_whole() -> None:
    frame = tariff_charts.welfare_frame(documents.tariff())
    gains = dict(zip(frame["who"], frame["gain"], strict=True))
    assert sum(gain for who, gain in gains.items() if who != tariff_charts.TOTAL) == pytest.approx(
        gains[tariff_charts.TOTAL]
    )


def test_scenarios_are_told_with_what_they_save_and_how_sure_that_is() -> None:
    result = documents.comparison()
    assert scenarios.comparison_finding(result, "EUR") == (
        "More PV saves most: €200.00 in a year against today (95 % sure: €150.00 to €250.00), "
        "and is cheaper in 90 % of the years."
    )
    assert scenarios.ranking_finding(result) == (
        "More PV stands firmly before As it is today: 98 % sure to cost less in the mean."
    )
    assert scenarios.economics_finding(result, "EUR") == "More PV pays back after 5 years and is worth €500.00 today."


def test_the_community_as_it_is_stands_once_in_the_ranking() -> None:
    frame = scenario_charts.ranking_frame(documents.comparison())
    assert frame["scenario"].tolist() == ["More PV", "As it is today"]
    assert frame["share_best"].tolist() == [0.9, 0.1]


def test_a_figure_is_drawn_in_the_unit_of_its_axis() -> None:
    frame = scenario_charts.kpi_frame(documents.comparison(), "self_sufficiency")
    assert frame["mean"].tolist() == [50.0, 60.0]


def test_consistency_is_told_with_its_evidence_and_a_lost_stream_by_name() -> None:
    fine = documents.consistency(load_kw=documents.stream(late_truth_coverage=0.94), pv_kw=documents.stream(nis=0.4))
    assert states.consistency_sentence(documents.state(consistency=fine)) == (
        "The bands are as wide as they should be for demand (NIS 1.10, ideal 1; 94 % of what came late lay inside, "
        "ideal 95 %) and wider than they need be for PV (NIS 0.40, ideal 1)."
    )
    alike = documents.consistency(load_kw=documents.stream(), pv_kw=documents.stream(nis=0.9))
    assert states.consistency_sentence(documents.state(consistency=alike)) == (
        "The bands are as wide as they should be for demand (NIS 1.10, ideal 1) and PV (NIS 0.90, ideal 1)."
    )
    lost = documents.consistency(load_kw=documents.stream(), pv_kw=documents.stream(is_lost=True, nis=3.2))
    said = states.consistency_sentence(documents.state(consistency=lost))
    assert said == (
        "Do not rely on the bands: they are too narrow for PV (NIS 3.20, ideal 1), and the twin learns anew."
    )
    assert states.is_inconsistent(documents.state(consistency=lost))
    assert not states.is_inconsistent(documents.state())
    assert "not known yet" in states.consistency_sentence(documents.state())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"nis": 0.35, "late_truth_coverage": 0.97}, "wider than they need be"),
        ({"nis": 0.9, "late_truth_coverage": 1.0}, "wider than they need be"),
        ({"nis": 1.1, "late_truth_coverage": 0.8}, "too narrow"),
        ({"nis": 1.8}, "too narrow"),  # lost beyond 2, not found again before 1.7
    ],
)
def test_a_lost_stream_is_told_by_the_side_that_its_bands_err_to(changes: dict[str, float], told: str) -> None:
    lost = documents.consistency(pv_kw=documents.stream(is_lost=True, **changes))
    assert f"they are {told} for PV" in states.consistency_sentence(documents.state(consistency=lost))


def test_the_unmetered_part_of_demand_is_told_where_some_is_metered() -> None:
    parts = {"unmetered_demand_kw": {"mean": 12.0, "sd": 1.0}}
    told = states.unmetered_sentence(documents.state(parts=parts))
    assert told == "12 kW (± 1.96 kW) of the demand is estimated: no meter shows it."
    assert states.unmetered_sentence(documents.state(parts=parts, coverage=1.0)) is None
    assert states.unmetered_sentence(documents.state(parts=parts, coverage=0.0)) is None
    assert states.unmetered_sentence(documents.state()) is None


def test_meters_are_counted_by_their_trouble_and_the_most_helpful_is_named() -> None:
    found = documents.state_meters(documents.state_meter("home_7"), silent=3, dead=1, reporting=96)
    assert meters.conditions_finding(found) == "Of 100 meters 3 are silent and 1 is dead now."
    assert meters.conditions_finding(documents.state_meters(reporting=5)) == "Every meter tells of the last interval."
    assert meters.help_sentence(found) == (
        "home_7 would help most: with its readings the band of demand would be about 0.78 kW narrower on either side."
    )
    assert meters.help_sentence(documents.state_meters(reporting=5)) is None
    fine = documents.state_meters(documents.state_meter("home_1", "stuck", sd_fall_kw=0.0), stuck=1)
    assert meters.help_sentence(fine) is None


def test_the_table_of_meters_names_those_that_need_a_look() -> None:
    table = meter_charts.meters_to_look_at(
        documents.state_meters(
            documents.state_meter("home_7", "dead", since=None, last_reading_end=None),
            documents.state_meter("home_8", "reporting"),
            documents.state_meter("home_9", "stuck", series="storage_soc_kwh", sd_fall_kw=None),
        ),
        VIENNA,
    )
    assert table["Meter"].tolist() == ["home_7", "home_9"]
    assert table["Since"].tolist() == ["over a week", "Mon 02 Mar 01:00"]
    assert table["Would make surer by"].tolist() == ["0.40 kW", ""]


SENTENCES: list[Callable[[Any, list[Any]], str]] = [
    lambda x, _: states.coverage_sentence(x),
    lambda x, _: states.age_sentence(x),
    lambda x, _: states.consistency_sentence(
        documents.state(consistency=documents.consistency(load_kw=documents.stream(nis=x, late_truth_coverage=x)))
    ),
    lambda x, _: states.consistency_sentence(
        documents.state(consistency=documents.consistency(load_kw=documents.stream(nis=x, is_lost=True)))
    ),
    lambda x, v: states.prediction_finding(
        documents.prediction(
            states={"demand_kw": {"mean": v, "lower": v, "upper": [x] * len(v)}, "pv_kw": {"mean": v}}
        ),
        VIENNA,
    ),
    lambda x, _: states.stored_finding(documents.state(states={"storage_soc_kwh": {"mean": x, "sd": x}}), 10.0),
    lambda x, v: states.history_finding(
        documents.history(demand_kw={"mean": v, "sd": v}, pv_kw={"mean": [x], "sd": v})
    ),
    lambda x, v: said_of_forecast(documents.forecast(load_kw={"mean": v, "lower": [x], "upper": None})),
    lambda x, v: schedules.savings_finding(
        documents.schedule(cost=x, savings={"baselines": {"idle": {"cost": x, "saved": x}}}), "EUR"
    ),
    lambda x, v: schedules.storage_finding(
        schedule_charts.schedule_frame(documents.schedule(soc_kwh=v), VIENNA), x, VIENNA
    ),
    lambda x, v: schedules.price_finding(
        schedule_charts.schedule_frame(documents.schedule(import_price_per_kwh=v), VIENNA), "EUR", VIENNA
    ),
    lambda x, v: tariffs.price_finding(documents.tariff(import_price_per_kwh=v), "EUR", VIENNA),
    lambda x, v: tariffs.demand_finding(documents.tariff(demand_after_kw=v), VIENNA),
    lambda x, v: tariffs.welfare_finding(documents.tariff(welfare={"change": x, "consumer_surplus": x}), "EUR"),
]


@pytest.mark.parametrize("sentence", SENTENCES)
@settings(max_examples=12)
@given(value=MAYBE, values=VALUES)
def test_whatever_is_missing_a_sentence_is_said(
    sentence: Callable[[Any, list[Any]], str], value: float | None, values: list[float | None]
) -> None:
    said = sentence(value, values)
    assert said.endswith(".")
    assert "nan" not in said
    assert "None " not in said

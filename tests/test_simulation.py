"""Scenarios, and the figures and the money that come of them."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import community
from tests.studies import base_year, numbers, study

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.sharing import SharingRule
from digital_twin.simulation.economics import Investment, discounted
from digital_twin.simulation.kpis import cost_difference, member_effects, ranking, risk_of
from digital_twin.simulation.outcomes import TOTALS, Outcomes, estimate
from digital_twin.simulation.scenario import PARAMETERS, Policy, Scenario, changed, setting_of

# scenarios


def test_changes_are_values_factors_or_additions() -> None:
    present = setting_of(community(num_prosumers=10, total_pv_capacity_kw=50))
    setting = changed(
        present,
        {
            "total_pv_capacity_kw": {"multiply": 1.5},
            "total_storage_capacity_kwh": {"add": 100},
            "num_prosumers": 12,
            "sharing_rule": "dynamic",
        },
    )
    assert (setting.total_pv_capacity_kw, setting.num_prosumers) == (75, 12)
    assert setting.total_storage_capacity_kwh == present.total_storage_capacity_kwh + 100
    assert setting.sharing_rule is SharingRule.DYNAMIC


def test_an_unknown_parameter_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as caught:
        changed(numbers(), {"pv": 3})
    assert all(name in caught.value.message for name in PARAMETERS)
    assert caught.value.facts["field"] == "parameter_changes.pv"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("total_pv_capacity_kw", -1),
        ("total_pv_capacity_kw", float("nan")),
        ("total_pv_capacity_kw", True),
        ("total_pv_capacity_kw", "10"),
        ("total_pv_capacity_kw", {"multiply": 2, "add": 1}),
        ("total_pv_capacity_kw", {"divide": 2}),
        ("total_pv_capacity_kw", {"multiply": -2}),
        ("total_pv_capacity_kw", [1]),
        ("num_prosumers", 2.5),
        ("num_prosumers", 0),
        ("charge_efficiency", 1.2),
        ("load_kw", 5),
        ("load_kw", {"multiply": -1}),
        ("sharing_rule", "all"),
        ("sharing_rule", {"multiply": 2}),
        ("import_price_per_kwh", 1e6),
    ],
)
def test_a_change_that_is_none_names_its_parameter(name: str, change: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        changed(numbers(), {name: change})
    assert caught.value.facts["field"] == f"parameter_changes.{name}"


def test_a_scenario_keeps_the_communitys_other_numbers() -> None:
    home = community()
    setting = Scenario("more_sun", {"total_pv_capacity_kw": 900}, policy=Policy.IDLE).setting(home)
    assert setting == replace(setting_of(home), total_pv_capacity_kw=900, policy=Policy.IDLE)


def test_fixed_shares_are_needed_by_the_rules_that_use_them() -> None:
    with pytest.raises(InsufficientData, match="sharing_coefficient"):
        study(numbers(sharing_rule=SharingRule.STATIC), base=base_year(coefficients=None))


# figures


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    covered = [one.low <= 5 <= one.high for one in (estimate(generator.normal(5, 2, 40)) for _ in range(600))]
    assert 0.92 < np.mean(covered) < 0.98


def test_the_worst_twentieth_is_counted_exactly() -> None:
    cost = np.arange(1.0, 101)
    risk = risk_of(cost)
    assert risk.var_95 == 96
    assert risk.cvar_95 == pytest.approx(98)  # mean of 96 .. 100
    assert risk_of(np.arange(1.0, 31)).cvar_95 == pytest.approx((30 + 0.5 * 29) / 1.5)
    assert risk_of(np.array([3.0, 4.0])).cvar_95 == 4


def outcomes_of(*costs: list[float]) -> Outcomes:
    totals = np.zeros((len(costs), len(costs[0]), len(TOTALS)))
    totals[:, :, TOTALS.index("cost")] = costs
    return Outcomes(totals, np.zeros((len(costs), len(costs[0]), 1)))


def test_scenarios_are_ranked_by_mean_cost_with_what_is_certain() -> None:
    outcomes = outcomes_of([10.0, 12, 11, 13], [9.0, 11, 10, 12], [9.5, 10.5, 10.4, 11.6])
    ranks = ranking(outcomes, [0, 1, 2])
    assert [one.scenario for one in ranks] == [1, 2, 0] or [one.scenario for one in ranks] == [2, 1, 0]
    assert ranks[-1].confidence is None
    assert ranks[-1].share_best == 0
    assert sum(one.share_best for one in ranks) == 1
    difference = cost_difference(outcomes, 1, 0)
    assert (difference.estimate.mean, difference.share_cheaper) == (-1, 1)
    assert all(one.mean_cost <= other.mean_cost for one, other in pairwise(ranks))


def test_winners_and_losers_are_counted_and_grouped_by_at_least_five() -> None:
    before, after = np.full(20, 100.0), np.concatenate([np.full(5, 120.0), np.full(5, 100.0), np.full(10, 70.0)])
    effects = member_effects(before, after)
    assert effects is not None
    assert (effects.better_off, effects.worse_off, effects.unchanged) == (10, 5, 5)
    assert [group.homes for group in effects.groups] == [5, 5, 5, 5]
    assert [group.mean_saved for group in effects.groups] == [-20, 0, 30, 30]
    assert member_effects(before[:9], after[:9]) is None
    deciles = member_effects(np.arange(80.0), np.zeros(80))
    assert deciles is not None
    assert len(deciles.groups) == 10


# money


@given(
    amount=st.floats(0, 1e6),
    years=st.integers(1, 40),
    rate=st.floats(0, 0.3),
    running=st.floats(0, 1e4),
    saving=st.floats(-1e4, 1e5),
)
def test_the_net_present_value_is_the_sum_of_discounted_flows(
    amount: float, years: int, rate: float, running: float, saving: float
) -> None:
    investment = Investment(amount, years, rate, running)
    flows = investment.cash_flows(saving)
    assert flows.size == years + 1
    by_hand = sum(flow / (1 + rate) ** year for year, flow in enumerate(flows))
    assert investment.net_present_value(saving) == pytest.approx(by_hand, rel=1e-9, abs=1e-4)


def test_a_textbook_investment() -> None:
    investment = Investment(1_000.0, 10, 0.05)
    assert investment.net_present_value(150.0) == pytest.approx(158.2602, abs=1e-4)  # 150 x 7.721735 - 1000
    assert investment.payback_years(150.0) == pytest.approx(1_000 / 150)
    # ln(1 / (1 - 1000 x 0.05 / 150)) / ln(1.05) = 8.31 falls into the ninth year, whose flow is spread evenly
    assert investment.discounted_payback_years(150.0) == pytest.approx(8.31, abs=0.02)
    assert investment.payback_years(99.0) is None
    assert Investment(0.0, 5, 0.1).payback_years(1.0) == 0
    assert discounted(np.array([1.0, 1.05]), 0.05) == pytest.approx([1, 1])


@pytest.mark.parametrize("fields", [(-1, 10, 0.1), (1, 0, 0.1), (1, 10, -0.1), (1, 10, 2), (float("nan"), 1, 0)])
def test_an_investment_without_sense_is_refused(fields: tuple[float, int, float]) -> None:
    with pytest.raises(InvalidInput, match="economics"):
        Investment(*fields)

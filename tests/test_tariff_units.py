"""Prices in whole units against all there are, and members whose present load may not become dearer."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from tests.test_tariffs import case_2, problem

from digital_twin.domain.errors import Infeasible, InvalidInput
from digital_twin.optimization.tariffs.accounting import broken_limits, incentives_by_day, tariff_figures
from digital_twin.optimization.tariffs.demand_response import Elasticity
from digital_twin.optimization.tariffs.design import GAP, design_tariff, stake
from digital_twin.optimization.tariffs.distribution import distribute
from digital_twin.optimization.tariffs.plan import TariffProblem

CENT = 0.01


def in_cents(one: TariffProblem, unit: float = CENT) -> TariffProblem:
    return replace(one, limits=replace(one.limits, price_unit_per_kwh=unit))


def best_of_all(one: TariffProblem) -> float:
    cents = np.arange(round(one.limits.low_per_kwh * 100), round(one.limits.high_per_kwh * 100) + 1) / 100
    best = -np.inf
    for prices in product(cents, repeat=one.calendar.blocks):
        figures = tariff_figures(one, np.array(prices)[one.calendar.block])
        welfare = figures.change.weighted(one.weights)
        if welfare > best and not broken_limits(one, figures):
            best = welfare
    return best


@pytest.mark.parametrize("seed", range(6))
def test_whole_cents_are_the_best_of_all_whole_cents(seed: int) -> None:
    draw = np.random.default_rng(seed)
    step = None if seed % 2 else 0.05
    one = problem(
        draw.uniform(20, 200, 3),
        0.3,
        draw.uniform(0.1, 0.5, 3),
        budget=draw.uniform(1, 15),
        bounds=(0.2, 0.4),
        step=step,
    )
    design = design_tariff(in_cents(one))
    assert design.welfare_change == pytest.approx(best_of_all(one), abs=1e-9)
    prices = design.figures.import_price_per_kwh
    assert prices.tolist() == [round(price, 2) for price in prices]
    assert incentives_by_day(one, prices)[0] <= one.limits.incentive_budget[0]


@pytest.mark.parametrize("cross", [0.0, 0.15])
def test_what_whole_units_lose_is_told_and_smaller_ones_lose_less(cross: float) -> None:
    hours = np.arange(24.0)
    load, cost = 60 + 30 * np.sin(hours / 4), 0.25 + 0.12 * np.cos(hours / 5)
    one = problem(load, 0.3, cost, budget=3.0, elasticity=Elasticity(-0.3, cross))
    free = design_tariff(one).welfare_change
    lost = [free - design_tariff(in_cents(one, unit)).welfare_change for unit in (0.001, 0.01, 0.05)]
    assert -GAP * stake(one) <= lost[0] < lost[1] < lost[2]
    if cross == 0:
        design = design_tariff(in_cents(one))
        assert design.gap * stake(one) == pytest.approx(lost[1], abs=GAP * stake(one))
        assert any("whole multiples of 0.01" in note for note in design.notes)


def test_units_that_fit_no_limit_are_named() -> None:
    one = problem([100, 200], 0.3, [0.1, 0.36], bounds=(0.26, 0.34), budget=5.0)
    with pytest.raises(Infeasible) as raised:
        design_tariff(in_cents(one, 0.07))
    assert [limit["limit"] for limit in raised.value.facts["limits"]] == ["price_unit_per_kwh"]
    with pytest.raises(InvalidInput):
        in_cents(one, 0.2)


def test_protected_members_gain_and_the_others_loss_is_the_price() -> None:
    one = problem([100, 200], 0.3, [0.1, 0.36], budget=11.0)
    members = np.array([[80.0, 20], [20.0, 180]])
    kept = design_tariff(replace(one, limits=replace(one.limits, protected_load_kw=members)))
    shares = distribute(one, kept.figures.import_price_per_kwh, members)
    assert shares.surplus_change.min() >= -GAP
    assert 0 < kept.welfare_change < design_tariff(case_2(11)).welfare_change
    assert "no_member_worse_off" in [limit.limit for limit in kept.binding]


def test_nobody_can_be_kept_from_losing_where_every_price_must_rise() -> None:
    one = problem([100, 200], 0.3, [0.1, 0.36], bounds=(0.31, 0.5))
    protected = replace(one, limits=replace(one.limits, protected_load_kw=np.array([[1.0, 2.0]])))
    with pytest.raises(Infeasible) as raised:
        design_tariff(protected)
    assert "no_member_worse_off" in {limit["limit"] for limit in raised.value.facts["limits"]}

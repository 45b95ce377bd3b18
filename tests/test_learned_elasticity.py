"""What readings and prices tell of elasticity: known truths found again, within the errors that are told; no more."""

from datetime import UTC, datetime

import numpy as np
import pytest

from digital_twin.domain.time import TimeGrid, local_clock
from digital_twin.optimization.tariffs.demand_response import Elasticity, demand_response
from digital_twin.optimization.tariffs.learned_elasticity import (
    LearnedElasticity,
    PastDemand,
    answer_error_kw,
    learn_elasticity,
)

TRUE = Elasticity(-0.25, 0.10)


def year(seed: int, days: int = 300, *, elasticity: Elasticity = TRUE, price: str = "market") -> PastDemand:
    """Hours of a community that heats, whose market is dear when it is cold and whose weeks differ by chance."""
    draw = np.random.default_rng(seed)
    hours = 24 * days
    clock = local_clock(TimeGrid(datetime(2025, 1, 6, tzinfo=UTC), hours, 60), "UTC")
    of_day = np.arange(hours) // 24
    celsius = 10 - 9 * np.cos(2 * np.pi * of_day / 365.25) + np.repeat(draw.normal(0, 3, days), 24)
    habit = np.log(50 + 20 * np.exp(-(((clock.hour - 19) / 3) ** 2)))
    cold = 0.02 * np.maximum(15 - celsius, 0)
    week = np.repeat(draw.normal(0, 0.05, days // 7 + 1), 168)[:hours]
    if price == "market":
        log_price = 0.15 * np.sin(clock.hour / 24 * 2 * np.pi) + 0.5 * cold + draw.normal(0, 0.2, hours)
        log_price += np.repeat(draw.normal(0, 0.2, days), 24)
    else:
        log_price = np.where((clock.hour >= 17) & (clock.hour < 21), 0.3, 0.0)
    others = (24 * np.repeat(log_price.reshape(days, 24).mean(axis=1), 24) - log_price) / 23
    answer = elasticity.own * log_price + elasticity.cross * others
    load = np.exp(habit + cold + week + answer + draw.normal(0, 0.05, hours))
    return PastDemand(load, 0.3 * np.exp(log_price), celsius, clock)


def test_a_known_elasticity_lies_within_its_interval_as_often_as_is_told() -> None:
    inside = []
    for seed in range(60):
        learned = learn_elasticity(year(seed, 140))
        assert isinstance(learned, LearnedElasticity)
        own, cross = learned.standard_errors
        inside.append(
            [
                abs(learned.elasticity.own - TRUE.own) < 2.093 * own,  # 95 % of t with 19 degrees: 20 weeks
                abs(learned.elasticity.cross - TRUE.cross) < 2.093 * cross,
            ]
        )
    covered = np.mean(inside, axis=0)
    # 60 draws: 95 % less three standard deviations of a share of 60
    assert (covered >= 0.86).all(), covered


def test_more_days_tell_more_and_own_and_cross_are_told_apart() -> None:
    short, long = learn_elasticity(year(1, 70)), learn_elasticity(year(1, 350))
    assert isinstance(short, LearnedElasticity)
    assert isinstance(long, LearnedElasticity)
    assert long.standard_errors[0] < short.standard_errors[0]
    assert long.elasticity.own == pytest.approx(TRUE.own, abs=0.03)
    assert long.elasticity.cross == pytest.approx(TRUE.cross, abs=0.05)
    assert long.days == 350
    assert "temperature" in long.rests_on


def test_a_cross_elasticity_within_its_error_is_none() -> None:
    learned = learn_elasticity(year(2, 200, elasticity=Elasticity(-0.3)))
    assert isinstance(learned, LearnedElasticity)
    assert learned.elasticity.cross == 0
    assert learned.elasticity.own == pytest.approx(-0.3, abs=3 * learned.standard_errors[0])
    assert "within its error" in learned.rests_on


def test_the_unit_of_money_does_not_matter() -> None:
    past = year(3, 140)
    other = PastDemand(past.load_kw, 100 * past.price_per_kwh, past.temperature_c, past.clock)
    here, there = learn_elasticity(past), learn_elasticity(other)
    assert isinstance(here, LearnedElasticity)
    assert isinstance(there, LearnedElasticity)
    assert there.elasticity.own == pytest.approx(here.elasticity.own, abs=1e-9)


def test_a_price_that_follows_the_clock_teaches_nothing() -> None:
    told = learn_elasticity(year(0, price="clock"))
    assert isinstance(told, str)
    assert "habit" in told


def test_a_few_weeks_teach_nothing() -> None:
    told = learn_elasticity(year(0, 40))
    assert told == "readings with prices of 7 weeks, of at least 8 that it takes"


def test_demand_that_rises_with_its_price_is_not_believed() -> None:
    past = year(0, 200, elasticity=Elasticity(0.0))
    moved = PastDemand(past.load_kw * (past.price_per_kwh / 0.3) ** 0.3, past.price_per_kwh, None, past.clock)
    told = learn_elasticity(moved)
    assert isinstance(told, str)
    assert "together" in told


def test_gaps_and_prices_of_next_to_nothing_are_left_out() -> None:
    past = year(5, 200)
    load, price = past.load_kw.copy(), past.price_per_kwh.copy()
    load[100:400], price[1000:1100], price[2000:2010] = np.nan, np.nan, 1e-6
    learned = learn_elasticity(PastDemand(load, price, past.temperature_c, past.clock))
    assert isinstance(learned, LearnedElasticity)
    assert learned.elasticity.own == pytest.approx(TRUE.own, abs=0.05)


def test_the_error_of_an_answer_is_the_spread_of_answers_over_elasticities() -> None:
    """By drawing elasticities and asking the slopes themselves."""
    draw = np.random.default_rng(2)
    load, reference, day = draw.uniform(20, 90, 6), np.full(6, 0.3), np.array([0, 0, 0, 1, 1, 1])
    covariance = np.array([[4e-4, -1e-4], [-1e-4, 9e-4]])
    learned = LearnedElasticity(Elasticity(-0.4, 0.0), covariance, 100, "")
    change = draw.normal(0, 0.05, 6)
    told = answer_error_kw(learned, load, change / reference, day)
    answers = []
    for own, cross in draw.multivariate_normal([-0.4, 0.0], covariance, 4000):
        relative = np.where(day[:, None] == day[None], cross / 2, 0.0)
        np.fill_diagonal(relative, own)
        answers.append(load * (relative @ (change / reference)))
    np.testing.assert_allclose(told, np.std(answers, axis=0), rtol=0.06)  # 4000 draws tell a spread to 1.1 %
    assert demand_response(load, reference, learned.elasticity, day).is_diagonal

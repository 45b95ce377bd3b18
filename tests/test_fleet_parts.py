"""The parts of a fleet's plan against dense algebra and a general solver."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from tests.fleets import KINDS, fleet
from tests.test_fleet import behind_fuses

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.battery_programme import best_answers
from digital_twin.optimization.fleet.coupling import subtract_couplings
from digital_twin.optimization.fleet.grid import grid_side
from digital_twin.optimization.fleet.interior_point import InteriorPoint
from digital_twin.optimization.fleet.presolve import standard_fleet
from digital_twin.optimization.fleet.repair import follow_courses
from digital_twin.optimization.fleet.units import CHARGE, DISCHARGE, ENERGY, SURPLUS, Newton, Units

SEEDS = st.integers(0, 10_000)


def units_behind_fuses(seed: int) -> tuple[Units, Array]:
    """Units of a small fleet, of which some charge from what their fuses do not let out."""
    generator = np.random.default_rng(seed)
    problem = behind_fuses(fleet(KINDS[seed % 7], 5, seed, steps=24), seed)
    worth = generator.uniform(0, 0.3, problem.storages.member.size)
    standard = standard_fleet(replace(problem, storages=replace(problem.storages, end_value_per_kwh=worth)))
    return standard.units, standard.end_value


def best_by_linear_program(units: Units, unit: int, prices: Array, end_value: float) -> float:
    """The least cost of one unit at these prices, where both powers together stay within one full power."""
    steps = prices.size
    room = units.room[unit]
    surplus = room[SURPLUS] if room.shape[0] > SURPLUS else np.zeros(steps)
    stored, taken, wear = units.stored[unit], units.taken[unit], units.wear[unit]
    one = np.eye(steps)
    left = np.zeros(steps)
    left[-1] = -end_value
    both = (room[CHARGE] > 0) & (room[DISCHARGE] > 0)
    shares = [np.diag(np.where(both, 1 / np.where(both, room[kind], 1.0), 0.0)) for kind in (CHARGE, DISCHARGE)]
    found = linprog(
        np.concatenate([wear + prices, wear - prices, left, np.full(steps, wear)]),
        A_ub=np.hstack([*shares, 0 * one, 0 * one]),
        b_ub=np.ones(steps),
        A_eq=np.hstack([-stored * one, taken * one, one - np.eye(steps, k=-1), -stored * one]),
        b_eq=-units.drawn[unit],
        bounds=[(0, high) for high in np.concatenate([room[CHARGE], room[DISCHARGE], room[ENERGY], surplus])],
    )
    assert found.status == 0
    return float(found.fun)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_the_programme_finds_what_a_general_solver_finds(seed: int) -> None:
    units, end_value = units_behind_fuses(seed)
    generator = np.random.default_rng(seed)
    low = generator.choice([0.0, -0.4])
    prices = 2 * generator.uniform(low, 0.4, units.drawn.shape[1])
    each = np.arange(units.wear.size + 1)
    injection, cost = best_answers(units, prices, end_value, each)
    for unit in range(units.wear.size):
        optimum = best_by_linear_program(units, unit, prices, float(end_value[unit]))
        assert cost[unit] - injection[unit] @ prices == pytest.approx(optimum, abs=1e-7 * max(1.0, abs(optimum)))


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_answers_to_prices_are_courses_that_can_be_followed(seed: int) -> None:
    units, end_value = units_behind_fuses(seed)
    prices = np.random.default_rng(seed).uniform(0.01, 0.8, units.drawn.shape[1])
    courses, everyone = np.empty_like(units.drawn), np.array([0, units.wear.size])
    injection, cost = best_answers(units, prices, end_value, everyone, courses)
    followed, same_cost = follow_courses(units, end_value, courses, everyone, prices)
    size = max(1.0, float(np.abs(injection).max()))
    assert followed == pytest.approx(injection, abs=1e-9 * size)
    assert same_cost == pytest.approx(cost, abs=1e-9 * max(1.0, abs(float(cost[0]))))


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_any_course_is_repaired_to_one_that_can_be_carried_out(seed: int) -> None:
    units, end_value = units_behind_fuses(seed)
    generator = np.random.default_rng(seed)
    courses = generator.normal(0, 2, units.drawn.shape) * units.room[:, ENERGY].max(axis=1, initial=0.0)[:, None]
    followed = np.empty((4, *courses.shape))
    follow_courses(
        units,
        end_value,
        courses,
        np.array([0, units.wear.size]),
        generator.normal(0, 1, courses.shape[1]),
        followed=followed,
    )
    charge, discharge, energy, surplus = followed
    size = 1e-7 * np.maximum(1.0, units.room.max(axis=(1, 2)))[:, None]
    assert (charge <= units.room[:, CHARGE] + size).all()
    assert (discharge <= units.room[:, DISCHARGE] + size).all()
    assert ((energy >= -size) & (energy <= units.room[:, ENERGY] + size)).all()
    assert (np.minimum(charge + surplus, discharge) <= size).all()
    gained = units.stored[:, None] * (charge + surplus) - units.taken[:, None] * discharge - units.drawn
    assert (np.abs(np.diff(energy, axis=1, prepend=0.0) - gained) <= size).all()


@pytest.mark.parametrize("steps", [1, 2, 11, 12, 13, 30, 96])
def test_couplings_are_those_of_the_dense_inverse(steps: int) -> None:
    generator = np.random.default_rng(steps)
    count = 5
    diagonal, beside = generator.uniform(0.1, 3, (count, steps)), generator.uniform(0, 1, (count, steps))
    coupling = generator.normal(0, 1, (count, steps))
    pivot, ratio = np.empty((count, steps)), np.zeros((count, steps))
    expected = np.zeros((steps, steps))
    for unit in range(count):
        matrix = np.diag(diagonal[unit] + beside[unit] + np.append(0, beside[unit, :-1]))
        matrix -= np.diag(beside[unit, :-1], 1) + np.diag(beside[unit, :-1], -1)
        expected -= coupling[unit][:, None] * np.linalg.inv(matrix) * coupling[unit]
        pivot[unit, 0] = matrix[0, 0]
        for step in range(1, steps):
            ratio[unit, step] = beside[unit, step - 1] / pivot[unit, step - 1]
            pivot[unit, step] = matrix[step, step] - ratio[unit, step] * beside[unit, step - 1]
    unused = np.empty((count, 3, steps))
    newton = Newton(unused, unused, pivot, ratio, coupling, coupling, np.empty((count, steps + 1)), np.ones(count))
    found = np.zeros((steps, steps))
    subtract_couplings(newton, (0, 2), found)
    subtract_couplings(newton, (2, count), found)
    assert np.triu(found) == pytest.approx(np.triu(expected), abs=1e-12 * np.abs(expected).max())


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_a_step_keeps_all_multipliers_equal_to_their_reduced_cost(seed: int) -> None:
    problem = behind_fuses(fleet(KINDS[seed % 7], 5, seed, steps=24), seed)
    standard = standard_fleet(problem)
    point = InteriorPoint(standard, grid_side(problem, standard))
    for _ in range(4):
        point.measure()
        point.step(0.0)
    point.measure()
    iterate, units, prices = point.iterate, point.units, point.prices[:24]
    price = iterate.price[:, :-1]
    wear = units.wear[:, None]
    expected = [
        wear + units.stored[:, None] * price + prices,
        wear - units.taken[:, None] * price - prices,
        np.diff(iterate.price, axis=1),
        wear + units.stored[:, None] * price,
    ][: units.room.shape[1]]
    free = units.room > 0
    found = iterate.lower - iterate.upper
    size = np.abs(iterate.lower).max()
    assert found[free] == pytest.approx(np.stack(expected, axis=1)[free], abs=1e-12 * size)
    assert (iterate.slack[free] > 0).all()
    assert (iterate.slack[free] < units.room[free]).all()


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_prices_of_any_kind_give_a_bound_of_the_connection(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = fleet(KINDS[seed % 7], 5, seed, steps=24)
    standard = standard_fleet(problem)
    grid = grid_side(problem, standard)
    prices, bound = grid.bounded(generator.normal(0, 1, grid.right_side.size))
    for _ in range(5):
        injection = generator.normal(0, 3, 24)
        assert bound - prices[:24] @ injection <= grid.recourse(injection).cost + 1e-9


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_the_connection_is_used_at_the_least_cost_whatever_the_peak_costs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = fleet(KINDS[seed % 7], 5, seed, steps=24)
    grid = replace(
        grid_side(problem, standard_fleet(problem)),
        import_cost=generator.uniform(-0.3, 0.4, 24),
        export_gain=np.full(24, -0.31),
        peak_cost=generator.choice([0.01, 0.3, 2.0]),
        peak_so_far_kw=generator.choice([0.0, 3.0]),
    )
    injection = generator.normal(0, 3, 24)
    right = grid.right_side.copy()
    right[:24] -= injection
    optimum = linprog(grid.cost, A_eq=grid.rows, b_eq=right, bounds=[(0, room) for room in grid.room])
    assert grid.recourse(injection).cost == pytest.approx(optimum.fun, rel=1e-7, abs=1e-7)

"""Single meters: what each would add if it reported, against brute force, and in what condition it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.twins import lively_homes

from digital_twin.domain.units import Array
from digital_twin.macro_twin.condition import conditions_of
from digital_twin.macro_twin.coverage import Mask, MeterGroup
from digital_twin.macro_twin.panel_filter import follow, moved_on
from digital_twin.macro_twin.state import advance
from digital_twin.macro_twin.structure import LOAD
from digital_twin.macro_twin.value import (
    expecting_of_group,
    expecting_of_panel,
    value_of_meters,
    variance_of_whole,
)

A_DAY = 24


def group_of(share: Array, variance: Array, *, metered: float, unmetered: float) -> MeterGroup:
    """A group of meters that are the same in every hour."""

    def hourly(values: Array) -> Array:
        return np.tile(values, (24, 1))

    many = np.full(share.shape, 1e9)
    return MeterGroup(
        ids=tuple(f"m{one}" for one in range(share.size)),
        metered_share=metered,
        weight=hourly(share),
        variance=hourly(variance),
        unmetered_variance=np.full(24, unmetered),
        ceiling=hourly(many),
        floor=hourly(-many),
        own_ceiling=1e9,
        scale=1.0,
    )


def variance_by_brute_force(group: MeterGroup, reporting: Mask, spread_kw2: float) -> float:
    """Of what is estimated wrongly, from the joint covariance of what is common and of every meter's own error."""
    share = np.append(group.metered_share * group.weight[0], 1 - group.metered_share)
    own = np.append(group.variance[0], group.unmetered_variance[0])
    joint = np.diag(np.append(spread_kw2, own))  # the common part first
    use = np.column_stack([share, np.eye(share.size)])  # what each uses, of these
    shown = np.append(reporting, False)
    read = use[shown].sum(axis=0)
    gain = joint[0] @ read / (read @ joint @ read) if shown.any() else 0.0
    estimate = read + share[~shown].sum() * gain * read
    error = use.sum(axis=0) - estimate
    return float(error @ joint @ error)


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 12),
    metered=st.floats(0.2, 1.0),
    spread_kw2=st.floats(1e-2, 1e3),
)
def test_the_value_of_a_meter_is_what_brute_force_finds(
    seed: int, count: int, metered: float, spread_kw2: float
) -> None:
    random = np.random.default_rng(seed)
    share = random.dirichlet(np.ones(count))
    group = group_of(share, random.gamma(1.0, 1.0, count), metered=metered, unmetered=(1 - metered) * 3.0)
    reporting = random.random(count) < 0.5
    expecting = expecting_of_group(group, 5, spread_kw2)
    values = value_of_meters(expecting, reporting)
    before = variance_by_brute_force(group, reporting, spread_kw2)
    assert variance_of_whole(expecting, reporting) == pytest.approx(before, rel=1e-9)
    for meter in range(count):
        with_it = reporting.copy()
        with_it[meter] = True
        fall = before - variance_by_brute_force(group, with_it, spread_kw2)
        assert values[meter] == pytest.approx(fall, rel=1e-6, abs=1e-8 * before)


def test_without_any_prior_it_is_the_ratio_estimators() -> None:
    share, variance = np.array([0.4, 0.3, 0.2, 0.1]), np.array([4.0, 2.0, 1.0, 3.0])
    reporting = np.array([True, True, False, False])
    group = group_of(share, variance, metered=1.0, unmetered=0.0)
    values = value_of_meters(expecting_of_group(group, 0, spread_kw2=1e12), reporting)
    shown, silent, erring = 0.7, 0.3, 6.0
    expected = [
        variance[j]
        + (silent / shown) ** 2 * erring
        - ((silent - share[j]) / (shown + share[j])) ** 2 * (erring + variance[j])
        for j in (2, 3)
    ]
    np.testing.assert_allclose(values, [0, 0, *expected], rtol=1e-3)


def test_where_nobody_reports_the_last_meter_of_all_is_worth_everything() -> None:
    group = group_of(np.ones(1), np.zeros(1), metered=1.0, unmetered=0.0)
    assert value_of_meters(expecting_of_group(group, 0, 9.0), np.array([False])) == pytest.approx([9.0])


def test_of_a_panel_it_is_by_how_much_the_panel_becomes_surer() -> None:
    """The panel itself, one step on, with and without the meter; readings that surprise nobody teach it no noise."""
    homes = lively_homes(12, 28)
    model, state = homes.learn(28 * 24)
    panel, memory, kind, quiet = model.panels[LOAD], state.panels[LOAD], np.array([18]), np.zeros(1, dtype=np.int64)
    assert panel is not None
    assert memory is not None
    following = moved_on(panel, memory)
    own = panel.spread[18] * (following.fast + following.level + following.slope * following.driver[1])
    expected = panel.profile[18] + own + panel.share[18] * panel.driver.scale[18] * following.driver[:2].sum()

    def variance(reporting: Mask) -> float:
        readings = np.where(reporting, expected, np.nan)[None, :]
        return float(follow(panel, memory.copy(), readings, kind, quiet).variance[0])

    reporting = np.arange(12) % 3 == 0
    expecting = expecting_of_panel(panel, memory, 18)
    before = variance(reporting)
    assert variance_of_whole(expecting, reporting) == pytest.approx(before, rel=0.02)
    values = value_of_meters(expecting, reporting)
    for meter in np.flatnonzero(~reporting):
        with_it = reporting.copy()
        with_it[meter] = True
        assert values[meter] == pytest.approx(before - variance(with_it), abs=0.02 * before)


def test_the_meters_of_most_value_make_the_demand_surest_and_least_wrong() -> None:
    homes = lively_homes(40, 28)
    first, last = 21 * 24, 28 * 24
    model, state = homes.learn(first)
    panel, memory = model.panels[LOAD], state.panels[LOAD]
    assert panel is not None
    assert memory is not None
    reporting = np.arange(40) < 8
    by_value = np.argsort(value_of_meters(expecting_of_panel(panel, memory, 18), reporting))
    truth = homes.load_kw[first:last].sum(axis=1)
    errors, deviations = [], []
    for chosen in (by_value[-5:], by_value[8:13]):
        with_them = reporting.copy()
        with_them[chosen] = True
        track = advance(state, model, homes.between(first, last, np.ones((last - first, 1)) * with_them)).track
        errors.append(float(np.sqrt(np.mean((track.mean[:, LOAD] - truth) ** 2))))
        deviations.append(float(track.deviation[:, LOAD].mean()))
    assert errors[0] < 0.9 * errors[1]
    assert deviations[0] < 0.9 * deviations[1]


def told(*meters: list[float], limit: float = 10.0, may_rest: bool = False) -> tuple[list[str], list[int], list[int]]:
    """Condition, since and newest of meters whose readings above the limit are refused."""
    matrix = np.array(meters).T
    found = conditions_of(matrix, matrix <= limit, steps_a_day=A_DAY, may_rest=may_rest)
    return [str(word) for word in found.words], found.since.tolist(), found.newest.tolist()


LIVELY = [1.0 + 0.1 * (step % 7) for step in range(60)]
NONE = float("nan")


def test_a_meter_of_the_last_interval_reports_and_one_without_it_is_silent_since_its_last() -> None:
    silent = [*LIVELY[:57], NONE, NONE, NONE]
    assert told(LIVELY, silent) == (["reporting", "silent"], [-1, 57], [59, 56])


def test_a_meter_without_a_reading_for_a_day_is_dead_and_one_that_never_told_has_no_since() -> None:
    quiet = [*LIVELY[: 60 - A_DAY], *[NONE] * A_DAY]
    assert told(quiet, [NONE] * 60) == (["dead", "dead"], [36, -1], [35, -1])
    assert told([*quiet[1:], NONE, 1.0])[0] == ["reporting"]


def test_a_stuck_meter_is_stuck_from_the_first_reading_of_that_value_on_and_gaps_do_not_count() -> None:
    stuck = [*LIVELY[:30], *[2.5] * 10, *[NONE] * 4, *[2.5] * 16]
    assert told(stuck) == (["stuck"], [30], [59])
    assert told([*LIVELY[:37], *[2.5] * 23])[0] == ["reporting"], "one reading less than a day"
    assert told(stuck, may_rest=True)[0] == ["reporting"]


def test_a_refused_meter_is_refused_since_the_first_reading_that_none_believed_followed() -> None:
    jumps = [*LIVELY[:40], 99.0, *LIVELY[41:50], *[98.0, NONE, 97.0, 96.0, 99.0] * 2]
    assert told(jumps) == (["refused"], [50], [59])
    assert told([*jumps[:-1], 1.0])[0] == ["reporting"]
    assert told([99.0] * 60) == (["refused"], [0], [59])

"""What a storage has earned: by hand, against the best plan, and what must hold of any course."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import MONDAY

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization.plan import GridLimits, MemberExchange, Outlook, Storage
from digital_twin.optimization.value_captured import Course, performance

LOSSLESS = Storage(10.0, 5.0, 1.0, 1.0, initial_kwh=0.0, final_min_kwh=0.0)
LOSSY = replace(LOSSLESS, charge_efficiency=0.95, discharge_efficiency=0.9)
OPEN = GridLimits(1_000.0, 1_000.0)


def course(load: list[float], pv: list[float], price: list[float], held: list[float], **changes: object) -> Course:
    grid = TimeGrid(MONDAY, len(load), 60)
    flat = np.full(len(load), 0.08)
    outlook = Outlook(
        grid, np.array(load), np.array(pv), np.array(price), np.minimum(flat, price), np.full(len(load), 0.2)
    )
    return replace(Course(outlook, LOSSLESS, OPEN, np.array(held)), **changes)


def test_by_hand():
    # two kWh of sun at noon, four of load in the evening, of which the storage gave one although it could give two
    seen = course([0, 4], [2, 0], [0.30, 0.50], held=[0, 1, 0])
    found = performance([seen])
    assert found.cost == pytest.approx(3 * 0.50 - 1 * 0.08)
    assert found.baselines["idle"].cost == pytest.approx(4 * 0.50 - 2 * 0.08)
    assert found.baselines["self_consumption_rule"].cost == pytest.approx(2 * 0.50)
    assert found.baselines["no_assets"].cost == pytest.approx(4 * 0.50)
    # the best plan also buys at 0.30 what it uses at 0.50
    assert found.perfect_cost == pytest.approx(2 * 0.30)
    assert found.baselines["idle"].value_captured == pytest.approx((1.84 - 1.42) / (1.84 - 0.60))
    assert found.baselines["self_consumption_rule"].value_captured == pytest.approx((1.00 - 1.42) / (1.00 - 0.60))
    assert found.baselines["no_assets"].value_captured is None
    assert (found.self_consumption, found.self_sufficiency) == (0.5, 0.25)
    assert (found.peak_kw, found.import_kwh, found.export_kwh) == (3, 3, 1)
    assert (found.charged_kwh, found.discharged_kwh) == (1, 1)
    assert found.emissions_kg == pytest.approx(3 * 0.2)


def test_whoever_ends_with_more_is_not_the_poorer_for_it():
    # bought at the mean price and kept: neither a gain nor a loss against having rested
    kept = performance([course([1, 1], [0, 0], [0.30, 0.30], held=[0, 4, 4])])
    assert kept.cost == pytest.approx(6 * 0.30)
    assert kept.baselines["idle"].saved == pytest.approx(0, abs=1e-9)
    assert kept.baselines["idle"].value_captured is None, "there was nothing to gain"


def test_the_best_plan_captures_everything():
    load, price = [2.0, 2, 2, 2], [0.10, 0.40, 0.10, 0.40]
    found = performance([course(load, [0, 0, 0, 0], price, held=[0, 2, 0, 2, 0])])
    assert found.cost == found.perfect_cost == pytest.approx(4 * 2 * 0.10)
    assert found.baselines["idle"].value_captured == 1
    assert found.baselines["self_consumption_rule"].value_captured == 1


def test_courses_add_up():
    first = course([0, 4], [2, 0], [0.30, 0.50], held=[0, 1, 0])
    second = course([1, 4], [0, 3], [0.20, 0.50], held=[2, 2, 3])
    both, singly = performance([first, second]), [performance([one]) for one in (first, second)]
    for name in ("cost", "emissions_kg", "import_kwh", "export_kwh", "load_kwh", "pv_kwh", "hours", "perfect_cost"):
        assert getattr(both, name) == pytest.approx(sum(getattr(one, name) for one in singly)), name
    assert both.peak_kw == max(one.peak_kw for one in singly)
    assert both.self_sufficiency == pytest.approx(1 - both.import_kwh / both.load_kwh)


def test_a_storage_that_did_more_than_is_registered_is_held_against_what_it_can_do():
    seen = course([0, 30], [0, 0], [0.10, 0.50], held=[0, 20, 0])
    assert performance([seen]).baselines["idle"].value_captured == 1


def test_limits_that_were_passed_do_not_stand_in_the_way_of_a_comparison():
    seen = course([9, 4], [0, 9], [0.30, 0.50], held=[0, 0, 0], limits=GridLimits(1.0, 1.0))
    assert performance([seen]).baselines["idle"].saved == 0


def test_shared_energy_counts_under_a_sharing_rule():
    load, pv = np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [2.0, 0.0]])
    shared = MemberExchange(
        np.maximum(load - pv, 0), np.maximum(pv - load, 0), np.full(2, 0.15), SharingRule.DYNAMIC, 60
    )
    seen = course([1, 1], [2, 0], [0.30, 0.30], held=[0, 0, 0], exchange=shared)
    found = performance([seen])
    assert found.cost == pytest.approx(2 * 0.30 - 2 * 0.08 - 1 * 0.15)
    # another kWh is shared into the storage, and shared once more out of it
    assert found.perfect_cost == pytest.approx(found.cost - 2 * 0.15 - 0.08 + 0.30)
    assert found.self_sufficiency == 0.5


def test_nothing_is_asked_of_no_course_or_of_one_that_does_not_fit():
    with pytest.raises(InvalidInput, match="at least one course"):
        performance([])
    with pytest.raises(InvalidInput, match="held_kwh must have 3 values"):
        course([1, 1], [0, 0], [0.3, 0.3], held=[0, 0])


amounts = st.lists(st.floats(0, 10), min_size=6, max_size=6)


@settings(max_examples=60)
@given(
    load=amounts,
    pv=amounts,
    price=st.lists(st.floats(0, 1), min_size=6, max_size=6),
    held=amounts,
    more=st.floats(0, 10),
)
def test_no_course_beats_the_best_plan(
    load: list[float], pv: list[float], price: list[float], held: list[float], more: float
):
    found = performance([course(load, pv, price, [*held, more], storage=LOSSY)])
    assert found.perfect_cost is not None
    assert found.perfect_cost <= found.cost + 1e-6
    for baseline in found.baselines.values():
        assert baseline.saved == pytest.approx(baseline.cost - found.cost)
        assert baseline.value_captured is None or baseline.value_captured <= 1 + 1e-6 * abs(found.cost)

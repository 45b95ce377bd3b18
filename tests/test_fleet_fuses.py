"""Generation that a fuse holds back and that may be curtailed: what is not planned the best is not called so."""

import numpy as np
import pytest
from tests.builders import MONDAY

from digital_twin.domain.errors import Unavailable
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization.fleet.dispatch import plan_fleet
from digital_twin.optimization.fleet.plan import FleetMembers, FleetProblem, FleetStorages
from digital_twin.optimization.plan import GridLimits


def behind_a_fuse(
    load_kw: list[float], pv_kw: list[float], fuses_kw: list[float], export_limit_kw: float
) -> FleetProblem:
    """One interval of two members; the first may curtail, and has an empty battery of 5 kW."""
    one, none = np.ones((1, 1)), np.zeros(1)
    battery = FleetStorages(
        np.array([0]), 5 * one, 5 * one, 0 * one, 10 * one, 0 * one, none, none + 1, none + 1, none, none
    )
    members = FleetMembers(
        np.array(load_kw)[:, None], np.array(pv_kw)[:, None], np.array([True, False]), np.full(2, np.inf),
        np.array(fuses_kw),
    )  # fmt: skip
    prices = np.array([-0.2]), np.array([-0.3])
    return FleetProblem(TimeGrid(MONDAY, 1, 60), members, battery, *prices, GridLimits(100, export_limit_kw))


def test_generation_behind_a_fuse_that_had_better_be_curtailed_leaves_no_false_proof() -> None:
    """Charging 5 kW from the grid earns 1.00; the plan charges what the fuse does not let out first."""
    plan = plan_fleet(behind_a_fuse([0.0, 0.0], [5.0, 0.0], [2.0, np.inf], 100.0))
    assert plan.cost > -1.0 + 1e-6
    assert plan.lower_bound <= -1.0 + 1e-6
    assert plan.status == "feasible"


def test_that_no_plan_keeps_the_limits_is_not_said_where_curtailing_behind_a_fuse_might() -> None:
    """The battery could take the 3 kW that must be taken, if its member curtailed what it charges instead."""
    with pytest.raises(Unavailable, match="no plan within the community's limits"):
        plan_fleet(behind_a_fuse([0.0, 0.0], [4.0, 3.0], [0.0, np.inf], 0.0))

"""What a plan for members rests on: what a kWh is worth inside the community, and what more of each limit would be.

At the community's prices every member stands alone, so that the worth of a little more battery, power or fuse is found
member by member, exactly, by the dynamic programme of the fleet. With these prices no plan of the larger fleet saves
more (Lagrange): the worth is what one more saves at most, and all of it as long as the prices stay.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.battery_programme import best_answers
from digital_twin.optimization.fleet.plan import Flags, FleetProblem
from digital_twin.optimization.fleet.presolve import StandardFleet, standard_fleet

A_LITTLE = 1e-3
"""kW or kWh by which limits are raised."""
WORTH_TELLING = 1e-4
"""Per kW or kWh: below it a limit does not bind, for prices are as exact as the plan is."""
_AT_LIMIT_KW = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class CommunityUse:
    """What a kept plan does at the community's connection, and what a kWh is worth inside."""

    import_kw: Array  # (T,)
    export_kw: Array  # (T,)
    value_per_kwh: Array  # (T,)


@dataclass(frozen=True, slots=True)
class CommunityLimit:
    """A limit of the community's connection that binds, and what one more kW saves over the horizon."""

    limit: str
    value_kw: float
    intervals: tuple[int, ...]
    worth_per_kw: float


@dataclass(frozen=True, slots=True, eq=False)
class MemberLimit:
    """What one more kWh or kW of a limit of each member saves over the horizon."""

    limit: str
    unit: str
    worth: Array  # (N,) NaN where a member has no such limit

    @property
    def held_back(self) -> int:
        """Members for whom more is worth something."""
        return int((np.nan_to_num(self.worth) > WORTH_TELLING).sum())

    @property
    def total(self) -> float:
        """What one more for each of them saves in all."""
        worth = np.nan_to_num(self.worth)
        return float(worth[worth > WORTH_TELLING].sum())


def community_limits(problem: FleetProblem, use: CommunityUse) -> list[CommunityLimit]:
    """Limits of import and export that are reached at a price, the one worth most first."""
    hours, limits = problem.grid.step_hours, problem.limits
    dearer = hours * (use.value_per_kwh - problem.import_price_per_kwh)
    cheaper = hours * (problem.export_price_per_kwh - use.value_per_kwh)
    found: list[CommunityLimit] = []
    for name, powers, limit, worth in (
        ("grid_import_limit_kw", use.import_kw, limits.import_kw, dearer),
        ("grid_export_limit_kw", use.export_kw, limits.export_kw, cheaper),
    ):
        at = np.flatnonzero((powers >= limit - _AT_LIMIT_KW * max(1.0, limit)) & (worth > WORTH_TELLING))
        total = float(worth[at].sum())
        if name == "grid_import_limit_kw" and problem.peak is not None and limit > problem.peak.so_far_kw:
            total -= problem.peak.per_kw  # more import raises the peak that is charged
        if at.size and total > WORTH_TELLING:
            found.append(CommunityLimit(name, limit, tuple(at.tolist()), total))
    return sorted(found, key=lambda one: -one.worth_per_kw)


def member_limits(problem: FleetProblem, value_per_kwh: Array, members: int) -> list[MemberLimit]:
    """Of batteries and vehicles, and of fuses; those that are worth nothing to anybody are left out.

    Args:
        members: so many rows are members; the last one may stand for all others.
    """
    prices = problem.grid.step_hours * value_per_kwh
    before = _costs(problem, prices)
    has_storage = np.isin(np.arange(before.size), problem.storages.member)
    homes = problem.members
    raised: tuple[tuple[str, str, Flags, Callable[[FleetProblem], FleetProblem]], ...] = (
        ("capacity_kwh", "kWh", has_storage, _with_capacity),
        ("power_kw", "kW", has_storage, _with_power),
        ("import_fuse_kw", "kW", np.isfinite(homes.import_fuse_kw), _with_import_fuse),
        ("export_fuse_kw", "kW", np.isfinite(homes.export_fuse_kw), _with_export_fuse),
    )
    found: list[MemberLimit] = []
    for limit, unit, concerned, raise_it in raised:
        if concerned[:members].any():
            worth = (before - _costs(raise_it(problem), prices)) / A_LITTLE
            found.append(MemberLimit(limit, unit, np.where(concerned, worth, np.nan)[:members]))
    return [one for one in found if one.held_back]


def _costs(problem: FleetProblem, prices: Array) -> Array:
    """What each member's best use costs if a kW given in an interval earned its price."""  # (N,)
    standard, members = standard_fleet(problem), problem.members
    own = np.zeros(members.load_kw.shape[0])
    np.add.at(own, problem.storages.member, _of_kinds(problem, standard, prices)[standard.kind])
    usable_kw = np.where(members.curtailable[:, None], members.pv_kw - standard.spilled_kw, 0.0)
    return own - usable_kw @ np.maximum(prices, 0.0)


def _of_kinds(problem: FleetProblem, standard: StandardFleet, prices: Array) -> Array:
    """Of one storage of each kind: wear less the worth of what is left and what the injection earns."""  # (C,)
    storages, count = problem.storages, standard.count
    charge, discharge, energy, surplus = standard.least
    first = np.array([int(np.flatnonzero(standard.kind == kind)[0]) for kind in range(count.size)], dtype=np.int64)
    wear = problem.grid.step_hours * storages.wear_per_kwh[first] * (charge + discharge + surplus).sum(axis=1)
    cost = wear - storages.end_value_per_kwh[first] * energy[:, -1] - (discharge - charge) @ prices
    each = np.arange(standard.with_choice.size + 1)
    injection, chosen = best_answers(standard.units, prices, standard.end_value, each)
    cost[standard.with_choice] += chosen - injection @ prices
    return cost / count


def _with_capacity(problem: FleetProblem) -> FleetProblem:
    storages = problem.storages
    return replace(problem, storages=replace(storages, highest_kwh=storages.highest_kwh + A_LITTLE))


def _with_power(problem: FleetProblem) -> FleetProblem:
    """Wherever there is power: a vehicle that is away, or that does not give back, gets none."""
    storages = problem.storages
    more = {
        name: getattr(storages, name) + A_LITTLE * (getattr(storages, name) > 0)
        for name in ("charge_max_kw", "discharge_max_kw")
    }
    return replace(problem, storages=replace(storages, **more))


def _with_import_fuse(problem: FleetProblem) -> FleetProblem:
    members = problem.members
    return replace(problem, members=replace(members, import_fuse_kw=members.import_fuse_kw + A_LITTLE))


def _with_export_fuse(problem: FleetProblem) -> FleetProblem:
    members = problem.members
    return replace(problem, members=replace(members, export_fuse_kw=members.export_fuse_kw + A_LITTLE))

"""What members would do each by themselves, and what everybody pays: the yardstick of a plan for all."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.sharing import Registers, SharingRule, allocate
from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import Flags, FleetProblem, Whole


@dataclass(frozen=True, slots=True, eq=False)
class FleetUse:
    """What storages do, and what members curtail."""

    charge_kw: Array  # (B, T)
    discharge_kw: Array  # (B, T)
    soc_kwh: Array  # (B, T) at the end of each interval
    curtailed_kw: Array  # (N, T)


@dataclass(frozen=True, slots=True, eq=False)
class MemberPrices:
    """What members pay for what they import, are paid for what they export, and pay each other."""

    import_per_kwh: Array  # (T,)
    export_per_kwh: Array  # (T,)
    sharing_per_kwh: Array  # (T,)


def by_own_rules(problem: FleetProblem, vehicles: Flags) -> FleetUse:
    """Everyone's own self-consumption rule, which knows neither prices nor the others.

    A vehicle charges on arrival at full power what it needs when it leaves. Then surplus charges a member's batteries
    one after the other and deficit discharges them, down to what they end with; what would be left over at the end
    is not charged in the first place, the latest first. Generation beyond a fuse is curtailed where it may be.
    """
    members, storages = problem.members, problem.storages
    charge, discharge = np.zeros_like(storages.charge_max_kw), np.zeros_like(storages.charge_max_kw)
    surplus_kw = members.pv_kw - members.load_kw
    for rows in _ranks(storages.member, vehicles):
        room_kw = (members.import_fuse_kw[:, None] + surplus_kw)[storages.member[rows]]
        charge[rows] = _on_arrival(problem, rows, room_kw)
        np.subtract.at(surplus_kw, storages.member[rows], charge[rows])
    for rows in _ranks(storages.member, ~vehicles):
        charge[rows], discharge[rows] = _self_consumption(problem, rows, surplus_kw[storages.member[rows]])
        np.add.at(surplus_kw, storages.member[rows], discharge[rows] - charge[rows])
    beyond_kw = np.clip(surplus_kw - members.export_fuse_kw[:, None], 0.0, members.pv_kw)
    curtailed_kw = np.where(members.curtailable[:, None], beyond_kw, 0.0)
    return FleetUse(charge, discharge, _stored(problem, charge, discharge), curtailed_kw)


def member_costs(problem: FleetProblem, prices: MemberPrices, use: FleetUse) -> Array:
    """What each member pays, with wear and less the worth of what is left: shared dynamically at the sharing price.

    All together pay what the community does for energy; a peak charge and what goes beyond limits is nobody's.
    """  # (N,)
    storages, hours = problem.storages, problem.grid.step_hours
    registers = Registers.of(*(hours * powers for powers in _behind_meters(problem, use)))
    shared = allocate(SharingRule.DYNAMIC, registers)
    bought = (registers.import_kwh - shared.received_kwh) @ prices.import_per_kwh
    sold = (registers.export_kwh - shared.supplied_kwh) @ prices.export_per_kwh
    traded = (shared.received_kwh - shared.supplied_kwh) @ prices.sharing_per_kwh
    cost: Array = bought - sold + traded
    wear = hours * storages.wear_per_kwh * (use.charge_kw + use.discharge_kw).sum(axis=1)
    np.add.at(cost, storages.member, wear - storages.end_value_per_kwh * use.soc_kwh[:, -1])
    return cost


def at_the_connection(problem: FleetProblem, use: FleetUse) -> tuple[Array, Array]:
    """What the community imports and exports."""  # (T,) each
    drawn, fed_in = _behind_meters(problem, use)
    net_kw = (drawn - fed_in).sum(axis=0)
    return np.maximum(net_kw, 0.0), np.maximum(-net_kw, 0.0)


def _behind_meters(problem: FleetProblem, use: FleetUse) -> tuple[Array, Array]:
    """What each member's load and charging take, and what generation and discharging give."""  # (N, T) each
    members, own = problem.members, problem.storages.member
    drawn, fed_in = members.load_kw.copy(), members.pv_kw - use.curtailed_kw
    np.add.at(drawn, own, use.charge_kw)
    np.add.at(fed_in, own, use.discharge_kw)
    return drawn, fed_in


def _ranks(member: Whole, chosen: Flags) -> list[Whole]:
    """The chosen storages' rows, in groups that have no member twice: everyone's first one, then the second."""
    rows = np.flatnonzero(chosen)
    order = rows[np.argsort(member[rows], kind="stable")]
    begins = np.r_[True, np.diff(member[order]) > 0] if order.size else np.zeros(0, dtype=bool)
    place = np.arange(order.size) - np.maximum.accumulate(np.where(begins, np.arange(order.size), 0))
    return [order[place == rank] for rank in range(int(place.max(initial=-1)) + 1)]


def _on_arrival(problem: FleetProblem, rows: Whole, room_kw: Array) -> Array:
    storages, hours = problem.storages, problem.grid.step_hours
    highest_kw = np.minimum(storages.charge_max_kw[rows], np.maximum(room_kw, 0.0))
    needed, driven = _needed_kwh(problem, rows), storages.driven_kwh[rows]
    stored_per_kw = hours * storages.charge_efficiency[rows]
    soc, charge = storages.initial_kwh[rows].copy(), np.zeros_like(highest_kw)
    for step in range(highest_kw.shape[1]):
        missing_kwh = np.maximum(needed[:, step] - soc + driven[:, step], 0.0)
        charge[:, step] = np.minimum(missing_kwh / stored_per_kw, highest_kw[:, step])
        soc += stored_per_kw * charge[:, step] - driven[:, step]
    return charge


def _needed_kwh(problem: FleetProblem, rows: Whole) -> Array:
    """What must be stored when the stay ends that an interval lies in."""  # (V, T)
    storages = problem.storages
    lowest, away = storages.lowest_kwh[rows], storages.charge_max_kw[rows] == 0
    needed = lowest.copy()
    for step in range(needed.shape[1] - 2, -1, -1):
        needed[:, step] = np.where(away[:, step + 1], lowest[:, step], np.maximum(lowest[:, step], needed[:, step + 1]))
    return np.where(away, 0.0, needed)


def _self_consumption(problem: FleetProblem, rows: Whole, surplus_kw: Array) -> tuple[Array, Array]:
    storages, hours = problem.storages, problem.grid.step_hours
    stored_per_kw = hours * storages.charge_efficiency[rows]
    taken_per_kw = hours / storages.discharge_efficiency[rows]
    reserve, soc = storages.lowest_kwh[rows, -1], storages.initial_kwh[rows].copy()
    charge, discharge = np.zeros_like(surplus_kw), np.zeros_like(surplus_kw)
    for step in range(surplus_kw.shape[1]):
        room = np.maximum(storages.highest_kwh[rows, step] - soc, 0.0) / stored_per_kw
        spare = np.maximum(soc - reserve, 0.0) / taken_per_kw
        surplus = surplus_kw[:, step]
        charge[:, step] = np.minimum(np.minimum(np.maximum(surplus, 0.0), storages.charge_max_kw[rows, step]), room)
        discharge[:, step] = np.minimum(
            np.minimum(np.maximum(-surplus, 0.0), storages.discharge_max_kw[rows, step]), spare
        )
        soc += stored_per_kw * charge[:, step] - taken_per_kw * discharge[:, step]
    left_over = np.where(storages.end_value_per_kwh[rows] > 0, 0.0, np.maximum(soc - reserve, 0.0)) / stored_per_kw
    for step in range(surplus_kw.shape[1] - 1, -1, -1):
        removed = np.minimum(charge[:, step], left_over)
        charge[:, step] -= removed
        left_over -= removed
    return charge, discharge


def _stored(problem: FleetProblem, charge_kw: Array, discharge_kw: Array) -> Array:
    storages, hours = problem.storages, problem.grid.step_hours
    gained = hours * storages.charge_efficiency[:, None] * charge_kw
    lost = hours / storages.discharge_efficiency[:, None] * discharge_kw + storages.driven_kwh
    return storages.initial_kwh[:, None] + np.cumsum(gained - lost, axis=1)

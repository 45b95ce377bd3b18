"""What members' fuses leave their storages: bounds of power, and generation that only the own storage can take.

Behind a fuse a storage may charge what the fuse lets in beyond the load, and discharge what it lets out. Generation
that the fuse does not let out is charged, or else curtailed: charging it first costs nobody anything, so that it is a
variable of its own beside the charge that the community sees. And a storage discharges beside its generation, of which
nothing is curtailed for that. Both are best only while no energy in the community has a worth below 0: else a bound is
that of the fleet without these fuses.
"""

from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.errors import Infeasible, InvalidInput
from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import FleetProblem

_NEGLIGIBLE_KW = 1e-9
_NAMED = 10


@dataclass(frozen=True, slots=True, eq=False)
class Connections:
    """Bounds of the storages behind fuses, and what of the members' generation the community may use."""

    charge_max_kw: Array  # (B, T) with what is charged from surplus
    discharge_max_kw: Array  # (B, T)
    charge_min_kw: Array  # (B, T)
    discharge_min_kw: Array  # (B, T)
    surplus_kw: Array  # (B, T) that the fuse does not let out and may be curtailed
    spilled_kw: Array  # (N, T) the same, of all members


def connections(problem: FleetProblem) -> Connections:
    """What members' own connections leave to storages and community.

    Raises:
        Infeasible: a member's load or generation is beyond its fuse, and it has no storage that is strong enough.
        InvalidInput: several storages compete behind one fuse.
    """
    members, storages = problem.members, problem.storages
    surplus_kw = members.pv_kw - members.load_kw
    beyond_out_kw = np.maximum(surplus_kw - members.export_fuse_kw[:, None], 0.0)
    beyond_in_kw = np.maximum(-surplus_kw - members.import_fuse_kw[:, None], 0.0)
    free = members.curtailable[:, None]
    spilled_kw, forced_kw = np.where(free, beyond_out_kw, 0.0), np.where(free, 0.0, beyond_out_kw)
    own = storages.member
    inward = (members.import_fuse_kw[:, None] + surplus_kw)[own]
    outward = (members.export_fuse_kw[:, None] - surplus_kw)[own]
    _check_one_behind_each(problem, inward, outward)
    _check_strength(problem, forced_kw, beyond_in_kw)
    return Connections(
        np.minimum(storages.charge_max_kw, np.maximum(inward, 0.0)),
        np.minimum(storages.discharge_max_kw, np.maximum(outward, 0.0)),
        forced_kw[own],
        beyond_in_kw[own],
        spilled_kw[own],
        spilled_kw,
    )


def without_curtailing_fuses(problem: FleetProblem) -> FleetProblem | None:
    """The fleet without the export fuses of generation that may be curtailed; None where they hold back no storage."""
    members, storages = problem.members, problem.storages
    held = members.curtailable & np.isfinite(members.export_fuse_kw)
    own = storages.member
    out_kw = members.pv_kw[own] - members.load_kw[own] + storages.discharge_max_kw
    holds_back = held[own] & ((members.pv_kw[own] > 0) & (out_kw > members.export_fuse_kw[own, None])).any(axis=1)
    if not holds_back.any():
        return None
    return replace(problem, members=replace(members, export_fuse_kw=np.where(held, np.inf, members.export_fuse_kw)))


def _check_one_behind_each(problem: FleetProblem, inward: Array, outward: Array) -> None:
    storages = problem.storages
    count = np.bincount(storages.member, minlength=problem.members.load_kw.shape[0])
    crowded = np.flatnonzero(count[storages.member] > 1)
    if not crowded.size:
        return
    for kind, powers, room in (
        ("import", storages.charge_max_kw, inward),
        ("export", storages.discharge_max_kw, outward),
    ):
        together = np.zeros(problem.members.load_kw.shape)
        np.add.at(together, storages.member, powers)
        held = crowded[(together[storages.member[crowded]] > room[crowded] + _NEGLIGIBLE_KW).any(axis=1)]
        if held.size:
            member = int(storages.member[held[0]])
            raise InvalidInput(
                f"the {kind} fuse of member {member} is shared by {count[member]} storages that it may hold back; "
                "one storage is planned behind a fuse, so split the fuse among them or leave it out",
                field=f"{kind}_fuse_kw.{member}",
            )


def _check_strength(problem: FleetProblem, beyond_out_kw: Array, beyond_in_kw: Array) -> None:
    """Name members whose load or generation no power of their storage brings within the fuse."""
    members, storages = problem.members, problem.storages
    limits = []
    for name, beyond, powers in (
        ("export_fuse_kw", beyond_out_kw, storages.charge_max_kw),
        ("import_fuse_kw", beyond_in_kw, storages.discharge_max_kw),
    ):
        if not beyond.any():
            continue
        strength = np.zeros(members.load_kw.shape)
        np.add.at(strength, storages.member, powers)
        missing = beyond - strength
        for member in np.flatnonzero(missing.max(axis=1) > _NEGLIGIBLE_KW)[: _NAMED - len(limits)]:
            step = int(np.argmax(missing[member]))
            limits.append({
                "limit": name, "member": int(member), "relax_by": round(float(missing[member, step]), 6), "unit": "kW",
                "alone": True, "at": problem.grid.instant(step).isoformat(),
            })  # fmt: skip
    if limits:
        told = limits[0]
        raise Infeasible(
            f"{told['limit']} of member {told['member']} is {told['relax_by']:.6g} kW too small at {told['at']} for "
            "its load and generation; raise it, or let generation be curtailed",
            limits=limits,
        )

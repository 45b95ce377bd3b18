"""Why there is no plan for members, with members and storages by name where the optimisation tells of rows."""

from collections.abc import Sequence
from typing import Any

from digital_twin.domain.errors import Infeasible, InvalidInput, TwinError


def named_error(error: TwinError, member_ids: Sequence[str], storages: Sequence[str]) -> TwinError:
    """The error in the words of who asked; others as they are. The row after the last member is the community."""
    if isinstance(error, InvalidInput):
        return _crowded(error, member_ids)
    if not isinstance(error, Infeasible):
        return error
    limits: list[dict[str, Any]] = [dict(one) for one in error.facts.get("limits", [])]
    if not any("member" in one for one in limits):
        return error
    for one in limits:
        if "member" in one:
            row = one.pop("member")
            one["member_id"] = member_ids[row] if row < len(member_ids) else None
        if "storage" in one:
            one["device_id"] = storages[one.pop("storage")]
    first = limits[0]
    who = "the community itself" if first["member_id"] is None else f"member {first['member_id']!r}"
    what = f" with {first['device_id']!r}" if "device_id" in first else ""
    others = f", and so for {len(limits) - 1} more" if len(limits) > 1 else ""
    return Infeasible(
        f"{who}{what} cannot keep {first['limit']} around {first['at']}, whatever the others do: "
        f"{first['relax_by']:.6g} {first['unit']} are missing{others}; ask for less energy there, or give more power, "
        "more time or more at the start",
        limits=limits,
    )


def _crowded(error: InvalidInput, member_ids: Sequence[str]) -> InvalidInput:
    """Of a fuse that several storages compete behind."""
    name, _, row = str(error.facts.get("field", "")).partition("_fuse_kw.")
    if not row.isdecimal() or int(row) >= len(member_ids):
        return error
    return InvalidInput(
        f"the fuse of member {member_ids[int(row)]!r} may hold back the {name} of several storages together; one "
        "storage is planned behind a fuse, so leave out the fuse or all storages but one",
        field="devices",
    )

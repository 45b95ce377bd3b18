"""What members are expected to use and generate, some hundred at a time, in agreement with the community's forecast."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO

import numpy as np

from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.domain.units import Array
from digital_twin.forecasting.member_days import HISTORY_DAYS, expected_of_members, in_balance, shared_out
from digital_twin.services.history import believed_readings
from digital_twin.services.ports import Transaction
from digital_twin.services.provenance import Provenance

MEMBERS_A_PART = 500
"""So many are read and forecast together: four weeks of quarters of three series take 32 MB."""

_SERIES = ("load_kw", "pv_kw", "net_load_kw")


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What each of some members is expected to do by their own readings; a row of NaN where these do not tell."""

    load_kw: Array  # (N, T)
    pv_kw: Array  # (N, T)
    drawn_kw: Array  # (N, T) by meters that tell the net alone
    fed_in_kw: Array  # (N, T)

    def to_bytes(self) -> bytes:
        """As a Run keeps a part."""
        buffer = BytesIO()
        np.save(buffer, np.stack([self.load_kw, self.pv_kw, self.drawn_kw, self.fed_in_kw]).astype(np.float32))
        return buffer.getvalue()

    @classmethod
    def joined(cls, payloads: Sequence[bytes]) -> "Expected":
        """Of all parts, in their order."""
        parts = [np.load(BytesIO(one)).astype(np.float64) for one in payloads]
        return cls(*np.concatenate(parts, axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """The community's own expectation, and what part of it is that of the members."""

    load_kw: Array  # (T,)
    pv_kw: Array  # (T,)
    num_prosumers: int
    pv_capacity_kw: float
    is_net_metered: bool


@dataclass(frozen=True, slots=True, eq=False)
class MembersOutlook:
    """Load and generation by member, with all others as the last row."""

    load_kw: Array  # (N + 1, T)
    pv_kw: Array  # (N + 1, T)
    curtailable: np.ndarray  # (N + 1,)


async def expected_of(
    tx: Transaction, member_ids: Sequence[str], grid: TimeGrid, zone: str, as_of: datetime
) -> Expected:
    """The mean of each member's like days of the last four weeks, as known then."""
    end = floor_to_step(min(as_of, grid.start), grid.step_minutes)
    past = TimeGrid(end - timedelta(days=HISTORY_DAYS), HISTORY_DAYS * 1440 // grid.step_minutes, grid.step_minutes)
    keys = [SeriesKey(name, member_id) for member_id in member_ids for name in _SERIES]
    told = await believed_readings(tx, keys, past.start, past.end, as_of)
    return await asyncio.to_thread(_expected, told, member_ids, past, grid, zone)


def _expected(
    told: Sequence[SeriesValues], member_ids: Sequence[str], past: TimeGrid, grid: TimeGrid, zone: str
) -> Expected:
    place = {member_id: row for row, member_id in enumerate(member_ids)}
    history = np.full((len(_SERIES), len(member_ids), past.steps), np.nan)
    for series in told:
        history[_SERIES.index(series.key.name), place[str(series.key.member_id)]] = resample(series, past).values
    load, pv, net = history
    courses = (load, pv, np.maximum(net, 0.0), np.maximum(-net, 0.0))
    found = [np.maximum(expected_of_members(one, past, grid, zone), 0.0) for one in courses]
    return Expected(*found)


def agreed_outlook(expected: Expected, totals: Totals, roofs_kw: Array, provenance: Provenance) -> MembersOutlook:
    """What members do by their readings, or as the community does on average, so that all agree with its forecast.

    Members are as many of its prosumers as they are; their generation is the part that their roofs are of all.

    Args:
        roofs_kw: the capacity of each member's registered PV.  # (N,)
    """
    count = expected.load_kw.shape[0]
    has_load, has_pv = np.isfinite(expected.load_kw[:, 0]), np.isfinite(expected.pv_kw[:, 0])
    is_net = ~has_load & np.isfinite(expected.drawn_kw[:, 0])
    part = min(1.0, count / totals.num_prosumers)
    roofs_part = _part_of_roofs(roofs_kw, has_pv, part, totals.pv_capacity_kw)
    by_roof = roofs_kw[:, None] * (totals.pv_kw / max(totals.pv_capacity_kw, float(roofs_kw.sum()), 1e-9))
    load = np.where(has_load[:, None], expected.load_kw, totals.load_kw / totals.num_prosumers)
    pv = np.where(has_pv[:, None], expected.pv_kw, by_roof)
    load = np.where(is_net[:, None], expected.drawn_kw, load)
    pv = np.where(is_net[:, None], expected.fed_in_kw, pv)
    load_total, pv_total = part * totals.load_kw, roofs_part * totals.pv_kw
    if is_net.any():
        load, pv = in_balance(load, pv, load_total - pv_total)
    else:
        load, pv = shared_out(load, load_total), shared_out(pv, pv_total) if pv.any() else pv
    _explain({"load": has_load, "net": is_net, "pv": has_pv}, roofs_kw, part, provenance)
    return MembersOutlook(
        np.vstack([load, totals.load_kw - load_total]),
        np.vstack([pv, totals.pv_kw - pv_total]),
        np.append(~is_net, not totals.is_net_metered),
    )


def _part_of_roofs(roofs_kw: Array, has_pv: np.ndarray, part: float, capacity_kw: float) -> float:
    """What part of the community's generation is members': by capacity, else by their number where any generate."""
    if roofs_kw.any():
        return min(1.0, float(roofs_kw.sum()) / capacity_kw) if capacity_kw else 1.0
    return part if has_pv.any() else 0.0


def _explain(known: Mapping[str, np.ndarray], roofs_kw: Array, part: float, provenance: Provenance) -> None:
    count = roofs_kw.size
    told = int((known["load"] | known["net"]).sum())
    provenance.sources["members"] = (
        f"readings of {told} of {count} members: means of like days of the last {HISTORY_DAYS}, "
        "scaled alike so that their sum agrees with the community's forecast"
    )
    if told < count:
        provenance.assume(f"{count - told} members without two days of readings use what a prosumer does on average")
    silent_roofs = int(((roofs_kw > 0) & ~known["pv"] & ~known["net"]).sum())
    if silent_roofs:
        provenance.assume(f"{silent_roofs} members without readings of pv_kw generate by the capacity of their roofs")
    if known["net"].any():
        provenance.assume(
            f"of {int(known['net'].sum())} members meters tell the net alone: what they draw and feed in counts as "
            "load and generation, which is not curtailed, and net sums agree rather than both"
        )
    if part < 1:
        provenance.assume(f"{count} members are {100 * part:.0f} % of the prosumers; all others plan nothing")

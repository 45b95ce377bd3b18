"""A ledger compared with what is stored, value by value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import httpx
import numpy as np
from tests.faults.ledger import SERIES, SLOTS, Acknowledged, Batch, Entry, Seen, Values, entries, member_id, midnight
from tests.faults.sender import day_as_of, values_of

SUM_ROUNDING = 1e-5  # sums of values that are kept as float32
LONGEST_SPAN_DAYS = 10_000
"""What one answer may hold of one series at 15 minutes."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What an audit found; all but the first three must be 0."""

    batches: int  # acknowledged
    values: int  # compared
    reads: int  # as of an instant, asked again
    lost: int  # values acknowledged and not there
    changed: int  # values acknowledged and other ones there
    phantom: int  # values there that nobody sent, or whose upload was cut
    doubled: int  # receipts that count otherwise than a batch that was stored once
    torn: int  # batches without an answer of which a part is there
    reread: int  # values that a read as of an instant gave otherwise than before
    sums: int  # sums over the members that are not those of their values

    @property
    def faults(self) -> dict[str, int]:
        return {one.name: getattr(self, one.name) for one in fields(self)[3:]}

    def __add__(self, other: "Findings") -> "Findings":
        mine, others = asdict(self), asdict(other)
        return Findings(**{name: mine[name] + others[name] for name in mine})


class Account:
    """What a ledger expects to be stored: of every member, every slot from the first day on."""

    def __init__(self, members: int, days: int) -> None:
        self._values = np.full((members, days * SLOTS), np.nan, np.float32)
        self._open: dict[str, Batch] = {}
        self.acknowledged = self.doubled = 0
        self.torn = self.phantom = 0
        self.seen: list[Seen] = []

    def read(self, ledger: Iterable[Entry]) -> None:
        for entry in ledger:
            if isinstance(entry, Batch):
                self._open[entry.key] = entry
            elif isinstance(entry, Acknowledged):
                self._book(self._open.pop(entry.key), entry.receipt)
            else:
                self.seen.append(entry)

    def _book(self, batch: Batch, receipt: Mapping[str, int] | None) -> None:
        """What is acknowledged goes over what was there, and its receipt must say exactly so."""
        place = self._place(batch)
        before, is_said = self._values[place], np.isfinite(batch.values)
        is_new, is_same = is_said & np.isnan(before), is_said & (before == batch.values)
        expected = {
            "received": batch.size,
            "stored": int(is_new.sum()),
            "duplicate": int(is_same.sum()),
            "corrected": batch.size - int(is_new.sum()) - int(is_same.sum()),
            "superseded": 0,
        }
        self.doubled += receipt is not None and any(receipt[name] != count for name, count in expected.items())
        self.acknowledged += 1
        self._values[place] = np.where(is_said, batch.values, before)

    def settle(self, stored: Values) -> Values:
        """What must be stored, given that a batch without an answer may be there wholly or not at all."""
        settled = self._values.copy()
        for batch in self._open.values():
            place = self._place(batch)
            there = int((stored[place] == batch.values).sum())
            if batch.way == "cut":
                continue  # whatever is there of it is a phantom
            self.torn += there not in (0, batch.size)
            settled[place] = np.where(stored[place] == batch.values, batch.values, settled[place])
        return settled

    def _place(self, batch: Batch) -> tuple[slice, slice]:
        rows = slice(batch.members.start, batch.members.stop)
        return rows, slice(batch.day * SLOTS, (batch.day + 1) * SLOTS)


def audit(client: httpx.Client, community: str, ledgers: Sequence[Path], *, members: int) -> Findings:
    """All of the ledgers against all that the community holds."""
    told = [list(entries(path)) for path in ledgers]
    days = 1 + max(entry.day for ledger in told for entry in ledger if isinstance(entry, Batch))
    account = Account(members, days)
    for ledger in told:
        account.read(ledger)
    address = f"/communities/{community}/readings"
    strangers, stored = stored_values(client, community, members, days)
    expected = account.settle(stored)
    is_expected, is_stored = np.isfinite(expected), np.isfinite(stored)
    return Findings(
        batches=account.acknowledged,
        values=int((is_expected | is_stored).sum()),
        reads=len(account.seen),
        lost=int((is_expected & ~is_stored).sum()),
        changed=int((is_expected & is_stored & (expected != stored)).sum()),
        phantom=int((is_stored & ~is_expected).sum()) + strangers,
        doubled=account.doubled,
        torn=account.torn,
        reread=sum(_differing(client, address, seen) for seen in account.seen),
        sums=_wrong_sums(client, address, expected),
    )


def stored_values(client: httpx.Client, community: str, members: int, days: int) -> tuple[int, Values]:
    """How many series are there that nobody sent, and the values of the others."""
    answer = client.get(f"/communities/{community}/series").raise_for_status()
    listed = [(one["name"], one["member_id"], one["asset_id"]) for one in answer.json()["series"]]
    ours = {(SERIES, member_id(member), None): member for member in range(members)}
    values = np.full((members, days * SLOTS), np.nan, np.float32)
    for key in ours.keys() & set(listed):
        values[ours[key]] = _read(client, f"/communities/{community}/readings", days, member_id=member_id(ours[key]))
    return sum(key not in ours for key in listed) + len(listed) - len(set(listed)), values


def _read(client: httpx.Client, address: str, days: int, **query: str) -> Values:
    assert days <= LONGEST_SPAN_DAYS
    span = {"start": midnight(0).isoformat(), "end": midnight(days).isoformat()}
    return values_of(client.get(address, params={"series": SERIES, **span, **query}).raise_for_status())


def _differing(client: httpx.Client, address: str, seen: Seen) -> int:
    """Values that a read as of an instant gives otherwise than it did then."""
    now = values_of(day_as_of(client, address, seen.member, seen.day, seen.as_of).raise_for_status())
    return int((~np.equal(now, seen.values) & ~(np.isnan(now) & np.isnan(seen.values))).sum())


def _wrong_sums(client: httpx.Client, address: str, expected: Values) -> int:
    sums = _read(client, address, expected.shape[1] // SLOTS)
    is_known = np.isfinite(expected).any(axis=0)
    wanted = np.where(is_known, np.nansum(expected, axis=0, dtype=np.float64), np.nan)
    return int((~np.isclose(sums, wanted, rtol=SUM_ROUNDING, atol=0, equal_nan=True)).sum())

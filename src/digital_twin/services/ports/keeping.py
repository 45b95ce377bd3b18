"""How long readings are kept, and the upkeep of what is kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from digital_twin.domain.retention import Retention


@dataclass(frozen=True, slots=True)
class Compacted:
    """Entries of the journal that were merged, and those that they became."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed with a member."""

    series: int
    days: int
    assets: int
    memberships: int
    documents: int


class Keeping(Protocol):
    """What the community that the transaction entered keeps; each step is short, and most have others after them."""

    async def retention(self) -> Retention: ...

    async def retain(self, retention: Retention) -> None:
        """Keep readings and journal so long from now on; the next upkeep removes what is older."""
        ...

    async def begin_upkeep(self) -> bool:
        """Whether this transaction alone may do the steps below; False while another one does."""
        ...

    async def close_day(self) -> int | None:
        """Move a day that is not recent any more to where it takes least space.

        The rows moved; None when there is no such day.
        """
        ...

    async def add_up_day(self, before: datetime) -> bool:
        """Bring the sums of the oldest day up to date that needs it and ended by then; whether there was one."""
        ...

    async def compact(self, received_before: datetime) -> Compacted | None:
        """Merge some entries of the journal that are older than this; None when there is nothing left to merge."""
        ...

    async def keep_spans(self) -> None:
        """Keep the first and last day of each series, so that listing them need not search all days."""
        ...

    async def forget_keys(self, received_before: datetime) -> int:
        """Let go of the keys of older batches, whose number it gives: such a batch sent again is merged again."""
        ...

    async def remove_day(self, before: datetime) -> bool:
        """Remove the oldest day that ended by then, but for its sums of five homes or more; whether there was one."""
        ...

    async def forget_days(self, before: datetime) -> bool:
        """Take removed days out of a part of the journal; whether there was one."""
        ...

    async def forget_past(self, known_from: datetime) -> bool:
        """Let go of what was known before, in a part of the journal; whether there was one.

        From then on questions as of an earlier instant are refused.
        """
        ...

    async def forget_superseded(self, kind: str, before: datetime) -> int:
        """Let go of results of a kind that were stored before and are not the newest of it; their number."""
        ...

    async def erase_member(self, member_id: str) -> Erased:
        """Remove a member and everything that is theirs or names them, but for sums of five homes or more.

        What the journal tells of them is removed by `purge_journal`, part by part.

        Raises:
            NotFound: there is no such member.
            Conflict: a Run of the community is not done, and may hold what is to be erased.
        """
        ...

    async def purge_journal(self) -> bool:
        """Take erased members out of a part of the journal; whether there was one."""
        ...

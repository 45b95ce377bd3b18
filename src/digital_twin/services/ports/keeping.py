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

    async def compact(self, received_before: datetime) -> Compacted | None:
        """Merge some entries of the journal that are older than this; None when there is nothing left to merge."""
        ...

    async def forget_keys(self, received_before: datetime) -> int:
        """Let go of the keys of older batches, whose number it gives: such a batch sent again is merged again."""
        ...

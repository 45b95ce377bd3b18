"""Communities with their members, readings and results, as they are kept."""

from collections.abc import AsyncIterable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.assets import Asset, Member
from digital_twin.domain.community import Community
from digital_twin.domain.readings import Receipt, Series, SeriesKey, SeriesSummary, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array


@dataclass(frozen=True, slots=True)
class StoredCommunity:
    """A community with the version that an ETag names."""

    community: Community
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class CommunitySum:
    """A community's sum over its members' series, with how many of its members took part."""

    grid: TimeGrid
    total: Array  # (T,) NaN where no member reported
    reporting: NDArray[np.int64]  # (T,)
    members: NDArray[np.int64]  # (T,) members at that time


class Communities(Protocol):
    """All communities; asked in platform scope, or within the one that the transaction entered."""

    async def create(self, community: Community) -> StoredCommunity:
        """Raises Conflict when the id is taken."""
        ...

    async def get(self, community_id: str) -> StoredCommunity:
        """Raises NotFound."""
        ...

    async def replace(self, community: Community, *, expected_version: int | None) -> StoredCommunity:
        """Raises NotFound, and Conflict when the version is not the expected one."""
        ...

    async def delete(self, community_id: str, *, expected_version: int | None) -> None:
        """With everything it holds. Raises NotFound and Conflict."""
        ...

    async def page(
        self, *, account_id: int | None, after: str | None, limit: int, among: Collection[str] | None = None
    ) -> list[StoredCommunity]:
        """Communities by id, of one account's memberships or, for None, all; only those `among` where it is given."""
        ...


class Members(Protocol):
    """Members and assets of the community that the transaction entered."""

    async def put_members(self, members: Sequence[Member]) -> int:
        """Add or replace; the number that are new."""
        ...

    async def members(self) -> list[Member]: ...

    async def put_assets(self, assets: Sequence[Asset]) -> int:
        """Add or replace; the number that are new. Raises NotFound for an unknown member."""
        ...

    async def assets(self) -> list[Asset]: ...


class Readings(Protocol):
    """Readings of the community that the transaction entered."""

    async def record(
        self, readings: Sequence[SeriesValues], *, key: str, assumed_delay: timedelta | None = None
    ) -> Receipt:
        """Merge a batch slot by slot; NaN means no reading and never erases one. The same value with another flag is
        another reading.

        Exactly once per `key`: a repeated key changes nothing and gives the first receipt, `replayed`.
        Inside a batch the last value of a slot wins, earlier different ones count as superseded.
        What changed of the series that feed the state is noted as due in the same transaction.
        With `assumed_delay` (imported history) a slot's *first* value counts as known at
        min(now, end of its interval + delay); corrections always count as known when they arrived.

        Raises:
            InvalidInput: a series is known at another resolution, or belongs to an unknown member or asset.
        """
        ...

    async def record_parts(
        self, parts: AsyncIterable[Sequence[SeriesValues]], *, key: str, assumed_delay: timedelta | None = None
    ) -> Receipt:
        """Merge a batch that comes in parts as if it had come in one, in the memory of one part.

        Nothing is locked, and nothing of it stored, before the last part has come; a known key is answered without
        the rest of them.

        Raises:
            InvalidInput: as `record`.
            Unavailable: there is no space to take up so many readings.
        """
        ...

    async def refusals(self, wanted: Sequence[tuple[SeriesKey, int]]) -> dict[tuple[SeriesKey, int], str]:
        """Why readings of a series at a resolution in minutes would be refused, for those that would."""
        ...

    async def newest(self) -> datetime | None:
        """When the newest batch was received; reads `as_of` then stay the same whatever comes meanwhile."""
        ...

    async def series(self) -> list[SeriesSummary]: ...

    async def named(self, names: Sequence[str]) -> list[Series]:
        """The series of these names, by name and owner."""
        ...

    async def read(
        self, keys: Sequence[SeriesKey], start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> list[SeriesValues]:
        """Each known series on its own resolution's grid over [start, end), `as_of` as known then; others left out."""
        ...

    async def community_sum(
        self, name: str, start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> CommunitySum | None:
        """The sum over members' series, each while it was a member, at their coarsest resolution; None without any."""
        ...


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A stored answer: a schedule or a forecast, as the document that was answered."""

    result_id: str
    kind: str
    created_at: datetime
    document: dict[str, Any]


class Results(Protocol):
    """Stored answers of the community that the transaction entered."""

    async def add(self, result: StoredResult) -> None: ...

    async def get(self, result_id: str, kinds: Collection[str]) -> StoredResult:
        """One of these kinds. Raises NotFound."""
        ...

    async def page(self, *, kinds: Collection[str], before: str | None, limit: int) -> list[StoredResult]:
        """Newest first; `before` is the id that the last page ended with."""
        ...

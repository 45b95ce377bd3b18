"""What the use cases need from the outside; adapters and the in-memory fakes of `testing` provide it."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.assets import Asset, Member
from digital_twin.domain.community import Community
from digital_twin.domain.readings import Receipt, SeriesKey, SeriesSummary, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array

T = TypeVar("T")


class Clock(Protocol):
    """Says what time it is; tests hold it in their hands."""

    def now(self) -> datetime: ...


class ComputePool(Protocol):
    """Runs pure functions in warm processes."""

    async def call(self, function: Callable[..., T], *args: Any, timeout_s: float) -> T:
        """The function's result. Raises Unavailable when it is late or its process died; the process is gone then."""
        ...


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
        """Merge a batch slot by slot; NaN means no reading and never erases one.

        Exactly once per `key`: a repeated key changes nothing and gives the first receipt, `replayed`.
        Inside a batch the last value of a slot wins, earlier different ones count as superseded.
        With `assumed_delay` (imported history) a slot's *first* value counts as known at
        min(now, end of its interval + delay); corrections always count as known when they arrived.

        Raises:
            InvalidInput: a series is known at another resolution, or belongs to an unknown member or asset.
        """
        ...

    async def series(self) -> list[SeriesSummary]: ...

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

    async def get(self, result_id: str) -> StoredResult:
        """Raises NotFound."""
        ...

    async def page(self, *, kind: str | None, before: str | None, limit: int) -> list[StoredResult]:
        """Newest first; `before` is the id that the last page ended with."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """Someone or something that can log in."""

    account_id: int
    username: str
    email: str
    role: str
    requested_role: str | None
    password_hash: str
    active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    """An account's right in one community; with a member id it is that member's own."""

    account_id: int
    username: str
    community_id: str
    role: str
    member_id: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def holds_at(self, now: datetime) -> bool:
        """Whether the right has begun and not ended."""
        begun = self.valid_from is None or self.valid_from <= now
        return begun and (self.valid_until is None or self.valid_until > now)


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in: refresh tokens of one family follow each other; only the newest one is good."""

    session_id: str
    account_id: int
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime
    token_hash: bytes
    previous_hash: bytes | None
    rotated_at: datetime | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A service's key; only its hash is kept."""

    key_id: str
    account_id: int
    name: str
    secret_hash: bytes
    scopes: frozenset[str]
    communities: frozenset[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class Invite:
    """A single-use promise of a role, and perhaps of a membership."""

    token_hash: bytes
    role: str
    community_id: str | None
    member_id: str | None
    created_by: int | None
    expires_at: datetime


class Accounts(Protocol):
    """Who may come in; asked in platform scope."""

    async def create(
        self, *, username: str, email: str, password_hash: str, role: str, requested_role: str | None
    ) -> Account:
        """Raises Conflict when the name or address is taken (compared without case)."""
        ...

    async def by_username(self, username: str) -> Account | None: ...

    async def by_id(self, account_id: int, *, lock: bool = False) -> Account | None:
        """With `lock`, nobody else changes the account until the transaction ends."""
        ...

    async def page(self, *, after: int, limit: int) -> list[Account]: ...

    async def count_admins(self) -> int: ...

    async def update(
        self,
        account_id: int,
        *,
        role: str | None = None,
        active: bool | None = None,
        password_hash: str | None = None,
    ) -> Account:
        """Raises NotFound, and Conflict when the last active admin would be lost."""
        ...

    async def memberships(
        self, *, account_id: int | None = None, community_id: str | None = None
    ) -> list[Membership]: ...

    async def put_membership(self, membership: Membership) -> None:
        """Add or replace. Raises NotFound for an unknown account or community."""
        ...

    async def remove_membership(self, account_id: int, community_id: str) -> None: ...

    async def add_session(self, session: Session) -> None: ...

    async def session(self, session_id: str, *, lock: bool = False) -> Session | None: ...

    async def session_with_account(self, session_id: str) -> tuple[Session, Account] | None:
        """Both in one round trip."""
        ...

    async def sessions(self, account_id: int) -> list[Session]:
        """Those that are neither revoked nor expired, newest first."""
        ...

    async def rotate_session(self, session_id: str, *, token_hash: bytes) -> None: ...

    async def revoke_sessions(self, account_id: int, *, session_id: str | None = None) -> int:
        """One or all; the number revoked."""
        ...

    async def add_api_key(self, key: ApiKey) -> None: ...

    async def api_key(self, key_id: str) -> ApiKey | None: ...

    async def api_keys(self, account_id: int) -> list[ApiKey]: ...

    async def revoke_api_key(self, account_id: int, key_id: str) -> None:
        """Raises NotFound."""
        ...

    async def touch_api_key(self, key_id: str) -> None: ...

    async def add_invite(self, invite: Invite) -> None: ...

    async def take_invite(self, token_hash: bytes) -> Invite:
        """Use it up. Raises NotFound when it is unknown, used or expired."""
        ...


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer that an idempotency key was given before."""

    fingerprint: bytes
    status: int
    headers: dict[str, str]
    body: bytes


class Replays(Protocol):
    """Idempotency keys, kept for a day, in flight for five minutes; one claimed inside a community goes with it."""

    async def claim(self, scope: str, key: str, fingerprint: bytes) -> bool:
        """Whether the key is the caller's from now on; False when somebody has it."""
        ...

    async def find(self, scope: str, key: str) -> Replay | None:
        """What the key stands for; its status is 0 while in flight."""
        ...

    async def finish(self, scope: str, key: str, replay: Replay) -> None: ...

    async def release(self, scope: str, key: str) -> None: ...


class Transaction(Protocol):
    """One database transaction; commits when its block ends well."""

    @property
    def communities(self) -> Communities: ...
    @property
    def members(self) -> Members: ...
    @property
    def readings(self) -> Readings: ...
    @property
    def results(self) -> Results: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def replays(self) -> Replays: ...


class Store(Protocol):
    """Where everything is kept."""

    def platform(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction over accounts, memberships and the list of communities; sees no community's data."""
        ...

    def community(self, community_id: str) -> AbstractAsyncContextManager[Transaction]:
        """A transaction inside one community; sees no other's data. Raises NotFound."""
        ...

    async def is_ready(self) -> bool:
        """Whether the database answers now."""
        ...


class PasswordHasher(Protocol):
    """Slow on purpose, and never for more than a few at once."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether it is the password. Takes as long for None, which no password fits."""
        ...

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash should be made again with today's cost."""
        ...


class TokenSigner(Protocol):
    """Access tokens: who and which session, for a short time."""

    @property
    def lifetime(self) -> timedelta: ...

    def sign(self, *, account_id: int, session_id: str, now: datetime) -> str: ...

    def successor(self, secret: str) -> str:
        """The secret of the next refresh token: the same each time, and only the signer can tell it."""
        ...

    def verify(self, token: str, *, now: datetime) -> tuple[int, str] | None:
        """Account and session of a good token, None for any other."""
        ...


class RateLimiter(Protocol):
    """Counts requests in a window of time."""

    async def hit(self, key: str, *, limit: int, window: timedelta) -> timedelta | None:
        """Count one; None if it is within the limit, else how long to wait."""
        ...

"""Who may come in, as it is kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


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

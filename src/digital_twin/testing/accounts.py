"""Accounts, memberships, sessions, keys and invites in dictionaries."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from digital_twin.domain.errors import Conflict, NotFound
from digital_twin.services.ports import Account, ApiKey, Clock, Invite, Membership, Session


@dataclass
class AccountTables:
    """What is known about who may come in."""

    accounts: dict[int, Account] = field(default_factory=dict[int, Account])
    memberships: dict[tuple[int, str], Membership] = field(default_factory=dict[tuple[int, str], Membership])
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])
    api_keys: dict[str, ApiKey] = field(default_factory=dict[str, ApiKey])
    invites: dict[bytes, Invite] = field(default_factory=dict[bytes, Invite])


class MemoryAccounts:
    """The port `Accounts`."""

    def __init__(self, tables: AccountTables, visible: Collection[str], clock: Clock) -> None:
        self._tables = tables
        self._visible = visible
        self._clock = clock

    # Accounts

    async def create(
        self, *, username: str, email: str, password_hash: str, role: str, requested_role: str | None
    ) -> Account:
        for other in self._tables.accounts.values():
            if other.username.lower() == username.lower() or other.email.lower() == email.lower():
                raise Conflict("this username or e-mail address is taken; choose another or log in")
        account_id = max(self._tables.accounts, default=0) + 1
        account = Account(account_id, username, email, role, requested_role, password_hash, True, self._clock.now())
        self._tables.accounts[account_id] = account
        return account

    async def by_username(self, username: str) -> Account | None:
        named = (one for one in self._tables.accounts.values() if one.username.lower() == username.lower())
        return next(named, None)

    async def by_id(self, account_id: int, *, lock: bool = False) -> Account | None:
        return self._tables.accounts.get(account_id)

    async def page(self, *, after: int, limit: int) -> list[Account]:
        return [one for number, one in sorted(self._tables.accounts.items()) if number > after][:limit]

    async def count_admins(self) -> int:
        return sum(one.role == "admin" and one.active for one in self._tables.accounts.values())

    async def update(
        self,
        account_id: int,
        *,
        role: str | None = None,
        active: bool | None = None,
        password_hash: str | None = None,
    ) -> Account:
        before = self._tables.accounts.get(account_id)
        if before is None:
            raise NotFound(f"there is no account {account_id}")
        after = replace(
            before,
            role=before.role if role is None else role,
            requested_role=before.requested_role if role is None else None,
            active=before.active if active is None else active,
            password_hash=before.password_hash if password_hash is None else password_hash,
        )
        self._tables.accounts[account_id] = after
        if (role is not None or active is not None) and await self.count_admins() == 0:
            self._tables.accounts[account_id] = before
            raise Conflict("the last administrator cannot be demoted or deactivated; make another one first")
        return after

    # Memberships

    async def memberships(self, *, account_id: int | None = None, community_id: str | None = None) -> list[Membership]:
        found = [
            one
            for (holder, community), one in self._tables.memberships.items()
            if account_id in (None, holder) and community_id in (None, community) and community in self._visible
        ]
        return sorted(found, key=lambda one: (one.community_id, one.username))

    async def put_membership(self, membership: Membership) -> None:
        account = self._tables.accounts.get(membership.account_id)
        if membership.community_id not in self._visible:
            raise NotFound(f"there is no community {membership.community_id!r} that you may see")
        if account is None:
            raise NotFound(f"there is no account {membership.account_id}")
        key = membership.account_id, membership.community_id
        self._tables.memberships[key] = replace(membership, username=account.username)

    async def remove_membership(self, account_id: int, community_id: str) -> None:
        if self._tables.memberships.pop((account_id, community_id), None) is None:
            raise NotFound("there is no such membership")

    # Sessions

    async def add_session(self, session: Session) -> None:
        self._tables.sessions[session.session_id] = session

    async def session(self, session_id: str, *, lock: bool = False) -> Session | None:
        return self._tables.sessions.get(session_id)

    async def session_with_account(self, session_id: str) -> tuple[Session, Account] | None:
        session = self._tables.sessions.get(session_id)
        return None if session is None else (session, self._tables.accounts[session.account_id])

    async def sessions(self, account_id: int) -> list[Session]:
        now = self._clock.now()
        own = (one for one in self._tables.sessions.values() if one.account_id == account_id)
        alive = [one for one in own if not one.revoked and one.expires_at > now]
        return sorted(alive, key=lambda one: one.created_at, reverse=True)

    async def rotate_session(self, session_id: str, *, token_hash: bytes) -> None:
        before, now = self._tables.sessions[session_id], self._clock.now()
        self._tables.sessions[session_id] = replace(
            before, previous_hash=before.token_hash, token_hash=token_hash, rotated_at=now, last_used_at=now
        )

    async def revoke_sessions(self, account_id: int, *, session_id: str | None = None) -> int:
        alive = [
            one
            for one in self._tables.sessions.values()
            if one.account_id == account_id and session_id in (None, one.session_id) and not one.revoked
        ]
        self._tables.sessions.update({one.session_id: replace(one, revoked=True) for one in alive})
        return len(alive)

    # API keys

    async def add_api_key(self, key: ApiKey) -> None:
        self._tables.api_keys[key.key_id] = key

    async def api_key(self, key_id: str) -> ApiKey | None:
        return self._tables.api_keys.get(key_id)

    async def api_keys(self, account_id: int) -> list[ApiKey]:
        own = [one for one in self._tables.api_keys.values() if one.account_id == account_id and not one.revoked]
        return sorted(own, key=lambda one: one.created_at, reverse=True)

    async def revoke_api_key(self, account_id: int, key_id: str) -> None:
        key = self._tables.api_keys.get(key_id)
        if key is None or key.account_id != account_id or key.revoked:
            raise NotFound("there is no such API key")
        self._tables.api_keys[key_id] = replace(key, revoked=True)

    async def touch_api_key(self, key_id: str) -> None:
        self._tables.api_keys[key_id] = replace(self._tables.api_keys[key_id], last_used_at=self._clock.now())

    # Invites

    async def add_invite(self, invite: Invite) -> None:
        self._tables.invites[invite.token_hash] = invite

    async def take_invite(self, token_hash: bytes) -> Invite:
        invite = self._tables.invites.get(token_hash)
        if invite is None or invite.expires_at <= self._clock.now():
            raise NotFound("this invite is unknown, used or expired; ask for a new one")
        return self._tables.invites.pop(token_hash)

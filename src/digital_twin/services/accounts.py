"""Accounts: how they come to be, and what administrators do with them."""

import re
from dataclasses import dataclass
from datetime import timedelta

from digital_twin.domain.errors import Conflict, InvalidInput, NotAllowed, NotFound
from digital_twin.services.access import Caller, Role, TooManyRequests
from digital_twin.services.invites import check_may_invite, check_still_backed, join
from digital_twin.services.ports import (
    Account,
    Clock,
    Invite,
    Membership,
    PasswordHasher,
    RateLimiter,
    Store,
)
from digital_twin.services.secrets import hash_secret, new_secret

MINIMUM_PASSWORD, MAXIMUM_PASSWORD = 15, 128
USERNAME = re.compile(r"[A-Za-z0-9_.-]{3,64}\Z")
EMAIL_PATTERN = r"^[^@\s\x00-\x1f]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"
EMAIL = re.compile(EMAIL_PATTERN.removesuffix("$") + r"\Z")
PASSWORD_CHANGES_PER_HOUR = 10
_OBVIOUS = re.compile(
    "(digital|twin|energy|communit(y|ies)|password|admin(istrator)?|operator|welcome|letmein|qwertyuiop|asdfghjkl)+"
)
_COUNTING = "1234567890" * 13 + "0987654321" * 13
SETUP_TOKEN_LIFETIME = timedelta(hours=1)
INVITE_LIFETIME = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Registration:
    """What a new account asks for; `token` is an invite or the one-time setup token."""

    username: str
    email: str
    password: str
    role: Role
    token: str | None = None


@dataclass(frozen=True, slots=True)
class RegistrationPolicy:
    """Who may register by themselves, `door` being open, invite or closed, and how many from one address."""

    door: str = "invite"
    per_hour: int = 20


class AccountService:
    """Use cases around accounts."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        hasher: PasswordHasher,
        limiter: RateLimiter,
        *,
        policy: RegistrationPolicy,
    ) -> None:
        self._store = store
        self._clock = clock
        self._hasher = hasher
        self._limiter = limiter
        self._policy = policy

    async def register(self, wanted: Registration, *, address: str, by: Caller | None = None) -> Account:
        """The new account.

        An administrator or a token gives the role; anyone else becomes a viewer without any community, with the
        wish noted for an administrator.

        Raises:
            InvalidInput: name, address or password break a rule.
            Conflict: name or address are taken.
            NotAllowed: registration is not open to this caller.
            NotFound: the token is unknown, used or expired.
            TooManyRequests: too many new accounts from one address.
        """
        check_identity(wanted.username, wanted.email)
        check_password(wanted.password, wanted.username)
        by_admin = by is not None and by.role is Role.ADMIN and not by.is_key
        if not by_admin:
            self._check_open(wanted)
            await limit(self._limiter, f"register {address}", self._policy.per_hour, timedelta(hours=1), "new accounts")
        password_hash = await self._hasher.hash(wanted.password)
        async with self._store.platform() as tx:
            invite = await tx.accounts.take_invite(hash_secret(wanted.token)) if wanted.token else None
            if invite is not None:
                await check_still_backed(tx, invite, self._clock.now())
            role = _granted_role(wanted, invite, by_admin=by_admin)
            account = await tx.accounts.create(
                username=wanted.username,
                email=wanted.email,
                password_hash=password_hash,
                role=str(role),
                requested_role=None if role is wanted.role else str(wanted.role),
            )
            if invite is not None and invite.community_id is not None:
                await join(tx, account, invite)
        return account

    def _check_open(self, wanted: Registration) -> None:
        if self._policy.door == "open" or wanted.token:
            return  # an invite and the setup token open even a closed door
        raise NotAllowed("registration needs an invite here; ask an administrator for one")

    async def create_administrator(self, *, username: str, email: str, password: str) -> Account:
        """An administrator made from the command line, by someone who holds the database's secrets anyway."""
        check_identity(username, email)
        check_password(password, username)
        password_hash = await self._hasher.hash(password)
        async with self._store.platform() as tx:
            return await tx.accounts.create(
                username=username, email=email, password_hash=password_hash, role=str(Role.ADMIN), requested_role=None
            )

    async def setup_token(self) -> str | None:
        """A one-time token that makes the first administrator; None once there is one."""
        async with self._store.platform() as tx:
            if await tx.accounts.count_admins():
                return None
            token = new_secret()
            expires_at = self._clock.now() + SETUP_TOKEN_LIFETIME
            await tx.accounts.add_invite(Invite(hash_secret(token), str(Role.ADMIN), None, None, None, expires_at))
        return token

    async def get(self, account_id: int) -> tuple[Account, list[Membership]]:
        """An account with its memberships. Raises NotFound."""
        async with self._store.platform() as tx:
            account = await tx.accounts.by_id(account_id)
            if account is None:
                raise NotFound(f"there is no account {account_id}")
            return account, await tx.accounts.memberships(account_id=account_id)

    async def page(self, *, after: int, limit: int) -> list[Account]:
        """Accounts in the order they were made."""
        async with self._store.platform() as tx:
            return await tx.accounts.page(after=after, limit=limit)

    async def change(self, account_id: int, *, role: Role | None, active: bool | None) -> Account:
        """Grant a role, deactivate or reactivate; holds at once, for open sessions too.

        Raises:
            NotFound: there is no such account.
            Conflict: it is the last administrator.
        """
        async with self._store.platform() as tx:
            account = await tx.accounts.update(account_id, role=None if role is None else str(role), active=active)
            if active is False:
                await tx.accounts.revoke_sessions(account_id)
        return account

    async def change_password(self, caller: Caller, *, current: str, new: str) -> None:
        """Set a new password; every other session ends.

        Raises:
            TooManyRequests: too many attempts, each of which is a guess at the current password.
            NotAllowed: the current password is another one.
            InvalidInput: the new one breaks a rule.
            Conflict: somebody else changed it meanwhile.
        """
        counter = f"password of account {caller.account_id}"
        await limit(self._limiter, counter, PASSWORD_CHANGES_PER_HOUR, timedelta(hours=1), "password changes")
        account, _ = await self.get(caller.account_id)
        if not await self._hasher.verify(current, account.password_hash):
            raise NotAllowed("the current password is not this one")
        check_password(new, account.username)
        password_hash = await self._hasher.hash(new)
        async with self._store.platform() as tx:
            found = await tx.accounts.by_id(caller.account_id, lock=True)
            if found is None or found.password_hash != account.password_hash:
                raise Conflict("the password was changed meanwhile; sign in with the new one")
            await tx.accounts.update(caller.account_id, password_hash=password_hash)
            for session in await tx.accounts.sessions(caller.account_id):
                if session.session_id != caller.session_id:
                    await tx.accounts.revoke_sessions(caller.account_id, session_id=session.session_id)

    async def invite(
        self, caller: Caller, *, role: Role, community_id: str | None, member_id: str | None
    ) -> tuple[str, Invite]:
        """A single-use token that grants the role, shown once.

        Raises:
            InvalidInput, NotFound: its role or its member do not fit its community, or one of them is not there.
            NotAllowed: the role is above what the caller may grant.
        """
        token = new_secret()
        expires_at = self._clock.now() + INVITE_LIFETIME
        invite = Invite(hash_secret(token), str(role), community_id, member_id, caller.account_id, expires_at)
        await check_may_invite(self._store, self._clock, caller, invite)
        async with self._store.platform() as tx:
            await tx.accounts.add_invite(invite)
        return token, invite


def _granted_role(wanted: Registration, invite: Invite | None, *, by_admin: bool) -> Role:
    if by_admin:
        return wanted.role
    if invite is None:
        return Role.VIEWER
    # a community's invite gives its role there and makes a viewer of the platform
    return Role(invite.role) if invite.community_id is None else Role.VIEWER


def check_identity(username: str, email: str) -> None:
    """Raises InvalidInput unless both are well formed."""
    if not USERNAME.match(username):
        raise InvalidInput("username must be 3 to 64 letters, digits, _ . or -", field="username")
    if not (len(email) <= 254 and EMAIL.match(email)):
        raise InvalidInput("email must be an address such as name@example.org", field="email")


def check_password(password: str, username: str) -> None:
    """Long rather than complicated (NIST SP 800-63B-4). Raises InvalidInput."""
    if not MINIMUM_PASSWORD <= len(password) <= MAXIMUM_PASSWORD:
        raise InvalidInput(
            f"password must have {MINIMUM_PASSWORD} to {MAXIMUM_PASSWORD} characters; a few words do well",
            field="password",
        )
    if "\x00" in password or any("\ud800" <= letter <= "\udfff" for letter in password):
        raise InvalidInput("password must be text", field="password")
    if _OBVIOUS.fullmatch(re.sub(r"[\W\d_]", "", password.lower())) or password in _COUNTING:
        raise InvalidInput("password must be more than words that everybody here would try first", field="password")
    if username.lower() in password.lower() or len(set(password)) < 5:
        raise InvalidInput("password must not contain the username or repeat a few letters", field="password")


async def limit(limiter: RateLimiter, key: str, most: int, window: timedelta, what: str) -> None:
    """Count one. Raises TooManyRequests beyond the limit."""
    wait = await limiter.hit(key, limit=most, window=window)
    if wait is not None:
        seconds = max(1, round(wait.total_seconds()))
        raise TooManyRequests(
            f"too many {what}; try again in {seconds} s",
            retry_after_s=seconds,
            quota=most,
            window_s=round(window.total_seconds()),
        )

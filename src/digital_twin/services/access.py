"""Who may do what: permissions, the roles that carry them, and the check that every use case passes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from digital_twin.domain.errors import NotAllowed, NotFound, TwinError, Unavailable
from digital_twin.services.ports import Clock, Membership, Store


class NotSignedIn(TwinError):
    """Nobody is known to ask; the message says how to get a token."""

    kind = "not-signed-in"


class TooManyRequests(Unavailable):
    """More requests than allowed; `retry_after_s` says when the next one may come."""

    kind = "too-many-requests"


class Role(StrEnum):
    """What an account is on the platform and, through a membership, in a community."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    API_USER = "api_user"


class Permission(StrEnum):
    """What a route or use case demands; each is also a scope of an API key."""

    PUBLIC = "public"
    SIGNED_IN = "signed_in"
    ACCOUNT_MANAGE = "account:manage"
    USERS_MANAGE = "users:manage"
    INVITES_CREATE = "invites:create"
    COMMUNITIES_LIST = "communities:list"
    COMMUNITIES_CREATE = "communities:create"
    COMMUNITY_READ = "community:read"
    COMMUNITY_WRITE = "community:write"
    COMMUNITY_DELETE = "community:delete"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    MEMBERS_ERASE = "members:erase"
    MEMBERSHIPS_MANAGE = "memberships:manage"
    READINGS_READ = "readings:read"
    READINGS_WRITE = "readings:write"
    FORECASTS_READ = "forecasts:read"
    FORECASTS_RUN = "forecasts:run"
    SCHEDULES_READ = "schedules:read"
    SCHEDULES_RUN = "schedules:run"
    SIMULATIONS_READ = "simulations:read"
    SIMULATIONS_RUN = "simulations:run"
    RUNS_READ = "runs:read"
    RUNS_CANCEL = "runs:cancel"


_EVERYONE = frozenset({Permission.SIGNED_IN, Permission.ACCOUNT_MANAGE, Permission.COMMUNITIES_LIST})

_VIEWER_IN_COMMUNITY = frozenset(
    {
        Permission.COMMUNITY_READ,
        Permission.MEMBERS_READ,
        Permission.READINGS_READ,
        Permission.FORECASTS_READ,
        Permission.SCHEDULES_READ,
        Permission.SIMULATIONS_READ,
        Permission.RUNS_READ,
    }
)
_OPERATOR_IN_COMMUNITY = _VIEWER_IN_COMMUNITY | {
    Permission.COMMUNITY_WRITE,
    Permission.COMMUNITY_DELETE,
    Permission.MEMBERS_WRITE,
    Permission.MEMBERS_ERASE,
    Permission.MEMBERSHIPS_MANAGE,
    Permission.READINGS_WRITE,
    Permission.FORECASTS_RUN,
    Permission.SCHEDULES_RUN,
    Permission.SIMULATIONS_RUN,
    Permission.RUNS_CANCEL,
}
_OWN_DATA = frozenset({Permission.COMMUNITY_READ, Permission.READINGS_READ})

COMMUNITY_PERMISSIONS = _OPERATOR_IN_COMMUNITY
"""Permissions that hold inside one community."""

KEY_SCOPES = COMMUNITY_PERMISSIONS - {
    Permission.MEMBERSHIPS_MANAGE,
    Permission.MEMBERS_ERASE,
    Permission.COMMUNITY_DELETE,
}
"""What an API key may be given: it never manages people, nor removes for good."""

_ON_PLATFORM = {
    Role.ADMIN: frozenset(Permission),
    Role.OPERATOR: _EVERYONE | {Permission.COMMUNITIES_CREATE, Permission.INVITES_CREATE},
    Role.VIEWER: _EVERYONE,
    Role.API_USER: _EVERYONE,
}
_IN_COMMUNITY = {
    Role.ADMIN: _OPERATOR_IN_COMMUNITY,
    Role.OPERATOR: _OPERATOR_IN_COMMUNITY,
    Role.VIEWER: _VIEWER_IN_COMMUNITY,
    Role.API_USER: _VIEWER_IN_COMMUNITY | {Permission.READINGS_WRITE},
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Rights are not in here: they are looked up when they are needed."""

    account_id: int
    username: str
    role: Role
    session_id: str | None = None
    logged_in_at: datetime | None = None
    key_id: str | None = None
    scopes: frozenset[str] | None = None
    key_communities: frozenset[str] | None = None

    @property
    def is_key(self) -> bool:
        """Whether an API key asks rather than a person."""
        return self.key_id is not None


@dataclass(frozen=True, slots=True)
class Grant:
    """A right that was checked; with a member id it reaches that member's own data and safe sums only."""

    caller: Caller
    community_id: str | None
    member_id: str | None = None


class Access:
    """Decides; another's community looks like one that does not exist."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def check(self, caller: Caller, permission: Permission, community_id: str | None = None) -> Grant:
        """The grant for one request.

        Raises:
            NotFound: the community is not there or not the caller's.
            NotAllowed: the caller lacks the permission.
        """
        if caller.is_key:
            self._check_key(caller, permission, community_id)
        if community_id is None:
            if permission not in _ON_PLATFORM[caller.role]:
                raise _lacking(caller.role, permission)
            return Grant(caller, None)
        if caller.role is Role.ADMIN:
            return Grant(caller, community_id)
        membership = await self._membership(caller, community_id)
        role = Role(membership.role)
        allowed = _OWN_DATA if membership.member_id else _IN_COMMUNITY[role]
        if permission not in allowed:
            raise _lacking(role, permission)
        return Grant(caller, community_id, membership.member_id)

    @staticmethod
    def _check_key(caller: Caller, permission: Permission, community_id: str | None) -> None:
        if community_id is not None and community_id not in (caller.key_communities or frozenset()):
            raise unknown_community()
        harmless = permission in (Permission.SIGNED_IN, Permission.COMMUNITIES_LIST)
        if not harmless and permission not in (caller.scopes or frozenset()):
            mend = (
                "make one that has it with POST /auth/api-keys"
                if permission in KEY_SCOPES
                else "no key may have it, so log in as a person"
            )
            raise NotAllowed(f"this API key lacks the scope {permission}; {mend}", required_permission=str(permission))

    async def _membership(self, caller: Caller, community_id: str) -> Membership:
        now = self._clock.now()
        async with self._store.platform() as tx:
            found = await tx.accounts.memberships(account_id=caller.account_id, community_id=community_id)
        for membership in found:
            if membership.holds_at(now):
                return membership
        raise unknown_community()


def unknown_community() -> NotFound:
    """The one answer for a community that is not there and for one that is not yours."""
    return NotFound("there is no community of this id that you may see")


def _lacking(role: Role, permission: Permission) -> NotAllowed:
    return NotAllowed(
        f"the role {role} does not have {permission}; ask an administrator for a role that does",
        required_permission=str(permission),
        role=str(role),
    )

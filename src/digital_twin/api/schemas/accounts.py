"""Accounts, sessions, keys, invites and memberships as bodies."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import Answer, Body, Identifier, Instant, Page, Text
from digital_twin.services.access import KEY_SCOPES
from digital_twin.services.accounts import EMAIL_PATTERN, MAXIMUM_PASSWORD, MINIMUM_PASSWORD
from digital_twin.services.ports import Account, ApiKey, Membership, Session
from digital_twin.services.sessions import TokenPair

RoleName = Literal["admin", "operator", "viewer", "api_user"]
CommunityRole = Literal["operator", "viewer", "api_user"]
Username = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{3,64}$", examples=["operator_1"])]
Password = Annotated[str, Field(min_length=1, max_length=1024, examples=["secure_password"])]
NewPassword = Annotated[
    str, Field(min_length=MINIMUM_PASSWORD, max_length=MAXIMUM_PASSWORD, examples=["secure_password"])
]
Email = Annotated[str, Field(pattern=EMAIL_PATTERN, max_length=254, examples=["operator@example.org"])]
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,512}$")]

GUIDE_ACCOUNT: dict[str, Any] = {
    "username": "operator_1",
    "email": "operator@example.org",
    "password": "secure_password",
    "role": "operator",
}


class RegisterBody(Body):
    """A new account. `role` is a wish unless an administrator's token, an invite or the setup token backs it."""

    model_config = ConfigDict(json_schema_extra={"examples": [GUIDE_ACCOUNT]})

    username: Username
    email: Email
    password: NewPassword
    role: RoleName = "viewer"
    invite_token: Token | None = None


class LoginBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "operator_1", "password": "secure_password"}]}
    )

    username: Username
    password: Password


class RefreshBody(Body):
    refresh_token: Token


class PasswordBody(Body):
    current_password: Password
    new_password: NewPassword


class TokenAnswer(Answer):
    """Send the access token as `Authorization: Bearer ...`; exchange the refresh token once for the next pair."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  no password
    expires_in: int
    refresh_token: str
    refresh_expires_in: int

    @classmethod
    def from_pair(cls, pair: TokenPair) -> "TokenAnswer":
        return cls(
            access_token=pair.access_token,
            expires_in=int(pair.expires_in.total_seconds()),
            refresh_token=pair.refresh_token,
            refresh_expires_in=int(pair.refresh_expires_in.total_seconds()),
        )


class AccountAnswer(Answer):
    id: int
    username: str
    email: str
    role: RoleName
    requested_role: RoleName | None
    active: bool
    created_at: Instant

    @classmethod
    def from_account(cls, account: Account) -> "AccountAnswer":
        return cls.model_validate(_fields(account))


def _fields(account: Account) -> dict[str, Any]:
    return {
        "id": account.account_id,
        "username": account.username,
        "email": account.email,
        "role": account.role,
        "requested_role": account.requested_role,
        "active": account.active,
        "created_at": account.created_at,
    }


class MembershipAnswer(Answer):
    username: str
    community_id: str
    role: CommunityRole
    member_id: str | None
    valid_from: Instant | None
    valid_until: Instant | None

    @classmethod
    def from_membership(cls, membership: Membership) -> "MembershipAnswer":
        return cls.model_validate({name: getattr(membership, name) for name in cls.model_fields})


class MeAnswer(AccountAnswer):
    """Who you are, your role on the platform and in your communities."""

    communities: list[MembershipAnswer]

    @classmethod
    def of(cls, account: Account, memberships: list[Membership]) -> "MeAnswer":
        communities = [MembershipAnswer.from_membership(one) for one in memberships]
        return cls.model_validate({**_fields(account), "communities": communities})


class SessionAnswer(Answer):
    id: str
    created_at: Instant
    last_used_at: Instant
    expires_at: Instant
    current: bool

    @classmethod
    def from_session(cls, session: Session, current: str | None) -> "SessionAnswer":
        return cls(
            id=session.session_id,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
            current=session.session_id == current,
        )


class SessionList(Answer):
    sessions: list[SessionAnswer]


class ApiKeyBody(Body):
    """A key for a service; it can do what its scopes say, in its communities, until it expires."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "meter gateway", "scopes": ["readings:write"], "communities": ["green_village"]},
            ]
        }
    )

    name: Annotated[Text, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=len(KEY_SCOPES))]
    communities: Annotated[list[Identifier], Field(min_length=1, max_length=100)]
    expires_in_days: Annotated[int, Field(ge=1, le=365)] = 90


class ApiKeyAnswer(Answer):
    id: str
    name: str
    scopes: list[str]
    communities: list[str]
    created_at: Instant
    expires_at: Instant
    last_used_at: Instant | None

    @classmethod
    def from_key(cls, key: ApiKey) -> "ApiKeyAnswer":
        return cls.model_validate(_key_fields(key))


def _key_fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "communities": sorted(key.communities),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }


class NewApiKeyAnswer(ApiKeyAnswer):
    """`key` is shown only now; send it as `X-API-Key`."""

    key: str

    @classmethod
    def of(cls, text: str, key: ApiKey) -> "NewApiKeyAnswer":
        return cls.model_validate({**_key_fields(key), "key": text})


class ApiKeyList(Answer):
    api_keys: list[ApiKeyAnswer]


class UserPage(Page):
    users: list[AccountAnswer]


class UserPatch(Body):
    """Grant a role, deactivate or reactivate."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "operator"}]})

    role: RoleName | None = None
    active: bool | None = None


class InviteBody(Body):
    """A single-use invite; with a community it makes a membership there."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"role": "viewer", "community_id": "green_village", "member_id": None}]}
    )

    role: RoleName
    community_id: Identifier | None = None
    member_id: Identifier | None = None


class InviteAnswer(Answer):
    """`invite_token` is shown only now; it goes into the registration of the one who is invited."""

    invite_token: str
    role: RoleName
    community_id: str | None
    member_id: str | None
    expires_at: Instant


class MembershipBody(Body):
    """One account's right in this community; with a member id it reaches that member's own data only."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"username": "operator_1", "role": "viewer"}]})

    username: Username
    role: CommunityRole
    member_id: Identifier | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class MembershipList(Answer):
    memberships: list[MembershipAnswer]

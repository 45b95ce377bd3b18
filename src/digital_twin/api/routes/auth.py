"""Who are you: registration, log-in, sessions and API keys."""

from fastapi import Request

from digital_twin.api.auth import address_of, authenticate, bearer_token
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.accounts import (
    AccountAnswer,
    ApiKeyAnswer,
    ApiKeyBody,
    ApiKeyList,
    LoginBody,
    MeAnswer,
    NewApiKeyAnswer,
    PasswordBody,
    RefreshBody,
    RegisterBody,
    SessionAnswer,
    SessionList,
    TokenAnswer,
)
from digital_twin.services.access import Caller, NotSignedIn, Permission, Role
from digital_twin.services.accounts import Registration

router = twin_router("access")


@router.post("/auth/register", status_code=201, **requires(Permission.PUBLIC))
async def register(body: RegisterBody, request: Request, twin: TwinDep) -> AccountAnswer:
    """Make an account.

    With an administrator's access token the role is given as asked. With the one-time setup token of a fresh
    installation, as bearer token or `invite_token`, the first administrator is made. With an invite its role is given.
    Anyone else becomes a viewer, and the wish is noted as `requested_role` for an administrator to grant.
    """
    by, token = await _backing(request)
    wanted = Registration(body.username, body.email, body.password, Role(body.role), body.invite_token or token)
    account = await twin.accounts.register(wanted, address=address_of(request), by=by)
    return AccountAnswer.from_account(account)


async def _backing(request: Request) -> tuple[Caller | None, str | None]:
    """Who backs a registration: a signed-in caller, or else the bearer token as an invite."""
    token = bearer_token(request)
    if token is None:
        return None, None
    try:
        return await authenticate(request), None
    except NotSignedIn:
        if token.count(".") == 2:
            raise  # an access token that has expired is no invite
        return None, token


@router.post("/auth/login", **requires(Permission.PUBLIC))
async def login(body: LoginBody, request: Request, twin: TwinDep) -> TokenAnswer:
    """Exchange username and password for tokens."""
    return TokenAnswer.from_pair(await twin.sessions.login(body.username, body.password, address=address_of(request)))


@router.post("/auth/refresh", **requires(Permission.PUBLIC))
async def refresh(body: RefreshBody, twin: TwinDep) -> TokenAnswer:
    """Exchange a refresh token, once, for the next pair."""
    return TokenAnswer.from_pair(await twin.sessions.refresh(body.refresh_token))


@router.get("/auth/me", **requires(Permission.SIGNED_IN))
async def me(twin: TwinDep, grant: GrantDep) -> MeAnswer:
    """Who you are; a key is told of its own communities alone."""
    account, memberships = await twin.accounts.get(grant.caller.account_id)
    bound = grant.caller.key_communities
    return MeAnswer.of(account, [one for one in memberships if bound is None or one.community_id in bound])


@router.post("/auth/password", status_code=204, **requires(Permission.ACCOUNT_MANAGE, has_secrets=True))
async def change_password(body: PasswordBody, twin: TwinDep, grant: GrantDep) -> None:
    """Set a new password; your other sessions end."""
    await twin.accounts.change_password(grant.caller, current=body.current_password, new=body.new_password)


@router.post("/auth/logout", status_code=204, **requires(Permission.ACCOUNT_MANAGE))
async def logout(twin: TwinDep, grant: GrantDep) -> None:
    """End this session: its tokens are dead at once."""
    await twin.sessions.end(grant.caller, str(grant.caller.session_id))


@router.post("/auth/logout-all", status_code=204, **requires(Permission.ACCOUNT_MANAGE))
async def logout_all(twin: TwinDep, grant: GrantDep) -> None:
    """End all of your sessions."""
    await twin.sessions.end_all(grant.caller)


@router.get("/auth/sessions", **requires(Permission.ACCOUNT_MANAGE))
async def list_sessions(twin: TwinDep, grant: GrantDep) -> SessionList:
    """Your open sessions, newest first."""
    found = await twin.sessions.sessions(grant.caller)
    return SessionList(sessions=[SessionAnswer.from_session(one, grant.caller.session_id) for one in found])


@router.delete("/auth/sessions/{session_id}", status_code=204, **requires(Permission.ACCOUNT_MANAGE))
async def end_session(session_id: str, twin: TwinDep, grant: GrantDep) -> None:
    """End one of your sessions."""
    await twin.sessions.end(grant.caller, session_id)


@router.post("/auth/api-keys", status_code=201, **requires(Permission.ACCOUNT_MANAGE, has_secrets=True))
async def create_api_key(body: ApiKeyBody, twin: TwinDep, grant: GrantDep) -> NewApiKeyAnswer:
    """Make a key for a service; it is shown only in this answer."""
    text, key = await twin.api_keys.create(
        grant.caller, name=body.name, scopes=body.scopes, communities=body.communities, days=body.expires_in_days
    )
    return NewApiKeyAnswer.of(text, key)


@router.get("/auth/api-keys", **requires(Permission.ACCOUNT_MANAGE))
async def list_api_keys(twin: TwinDep, grant: GrantDep) -> ApiKeyList:
    """Your keys, newest first."""
    return ApiKeyList(api_keys=[ApiKeyAnswer.from_key(key) for key in await twin.api_keys.keys(grant.caller)])


@router.delete("/auth/api-keys/{key_id}", status_code=204, **requires(Permission.ACCOUNT_MANAGE))
async def revoke_api_key(key_id: str, twin: TwinDep, grant: GrantDep) -> None:
    """Revoke a key: it is dead at once."""
    await twin.api_keys.revoke(grant.caller, key_id)

"""Who a request comes from: an access token or an API key in its headers."""

from fastapi import Request

from digital_twin.services.access import Caller, NotSignedIn
from digital_twin.services.api_keys import PREFIX
from digital_twin.services.sessions import HOW_TO_SIGN_IN


async def authenticate(request: Request) -> Caller:
    """The caller.

    Raises:
        NotSignedIn: no credentials, or none that are good.
    """
    twin = request.app.state.twin
    token = bearer_token(request)
    key = request.headers.get("x-api-key") or (token if token and token.startswith(PREFIX) else None)
    if key is not None:
        return await twin.api_keys.caller_of_key(key)
    if token is None:
        raise NotSignedIn(HOW_TO_SIGN_IN)
    return await twin.sessions.caller_of_token(token)


def bearer_token(request: Request) -> str | None:
    """The credentials of an `Authorization: Bearer` header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def address_of(request: Request) -> str:
    """The peer's address as the server saw it; headers that a client can write are not believed."""
    return request.client.host if request.client else "unknown"

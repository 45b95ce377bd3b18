"""Access tokens as JWT (RFC 9068): one algorithm, every claim required, no rights inside."""

import base64
import hmac
import secrets
from datetime import UTC, datetime, timedelta

import jwt
from jwt.types import Options

ALGORITHM = "HS256"
TYPE = "at+jwt"
ISSUER = AUDIENCE = "digital-twin"
MAXIMUM_LENGTH = 4_096
CLAIMS = ["sub", "sid", "iss", "aud", "exp", "iat", "nbf", "jti"]


class JwtSigner:
    """The port `TokenSigner`."""

    def __init__(self, key: str, *, lifetime: timedelta) -> None:
        self._key = key
        self.lifetime = lifetime
        self._jwt = jwt.PyJWT({"enforce_minimum_key_length": True})

    def sign(self, *, account_id: int, session_id: str, now: datetime) -> str:
        claims = {
            "sub": str(account_id),
            "sid": session_id,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
            "jti": secrets.token_hex(8),
        }
        return self._jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"typ": TYPE})

    def successor(self, secret: str) -> str:
        digest = hmac.digest(self._key.encode(), b"refresh token after " + secret.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def verify(self, token: str, *, now: datetime) -> tuple[int, str] | None:
        if len(token) > MAXIMUM_LENGTH:
            return None
        try:
            if jwt.get_unverified_header(token).get("typ") != TYPE:
                return None
            # times are compared below with the twin's own clock
            options = Options(require=CLAIMS, verify_exp=False, verify_nbf=False, verify_iat=False)
            claims = self._jwt.decode(
                token, self._key, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options=options
            )
            not_before, expires = (datetime.fromtimestamp(int(claims[name]), UTC) for name in ("nbf", "exp"))
            account_id, session_id = int(claims["sub"]), str(claims["sid"])
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            return None
        leeway = timedelta(seconds=1)  # claims are whole seconds
        return (account_id, session_id) if not_before - leeway <= now < expires else None

"""Random secrets that are handed out once, and the hashes that are kept of them."""

import hashlib
import hmac
import secrets


def new_secret() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def new_id() -> str:
    """An identifier that nobody guesses or meets twice."""
    return secrets.token_hex(12)


def hash_secret(secret: str) -> bytes:
    """SHA-256: random secrets need no slow hash (OWASP ASVS 6.5.2)."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def matches(secret: str, stored: bytes | None) -> bool:
    """Compared in constant time."""
    return stored is not None and hmac.compare_digest(hash_secret(secret), stored)

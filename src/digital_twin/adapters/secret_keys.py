"""The installation's root secrets: given, or made once and kept private under the home."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


@dataclass(frozen=True, slots=True)
class SecretKeys:
    """`root` is what other keys are derived from; `jwt` signs access tokens."""

    root: str
    jwt: str

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose (HKDF, RFC 5869)."""
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(self.root.encode())


def load_secret_keys(home: Path, *, root: str | None, jwt: str | None) -> SecretKeys:
    """The given secrets; missing ones come from a file that only its owner reads, made at the first start."""
    if root is not None and jwt is not None:
        return SecretKeys(root, jwt)
    kept = _kept(home / "secrets.json")
    return SecretKeys(root or kept["SECRET_KEY"], jwt or kept["JWT_SECRET_KEY"])


def _kept(path: Path) -> dict[str, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "JWT_SECRET_KEY")}
    fresh = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(made, file)
        file.flush()
        os.fsync(descriptor)
    try:
        os.link(fresh, path)  # fails when another process was faster: then its secrets are ours
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return json.loads(path.read_text())

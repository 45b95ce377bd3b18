"""Passwords by bcrypt over a keyed hash: no length limit, no NUL, and useless without the pepper."""

import asyncio
import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from digital_twin.services.access import TooManyRequests

Result = TypeVar("Result")

SCHEME = "bcrypt-hmac-sha256$"
DEFAULT_COST = 12
THREADS, MAXIMUM_WAITING = 2, 32


class BcryptHasher:
    """The port `PasswordHasher`, in a few threads so that a flood of log-ins does not starve the rest."""

    def __init__(self, pepper: bytes, *, cost: int = DEFAULT_COST) -> None:
        self._pepper = pepper
        self._cost = cost
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bcrypt")
        self._waiting = 0
        self._nobody = bcrypt.hashpw(b"nobody", bcrypt.gensalt(cost))

    async def hash(self, password: str) -> str:
        hashed = await self._run(bcrypt.hashpw, self._digest(password), bcrypt.gensalt(self._cost))
        return SCHEME + hashed.decode("ascii")

    async def verify(self, password: str, stored: str | None) -> bool:
        is_known = stored is not None and stored.startswith(SCHEME)
        hashed = stored.removeprefix(SCHEME).encode("ascii") if is_known and stored else self._nobody
        return bool(await self._run(bcrypt.checkpw, self._digest(password), hashed)) and is_known

    def is_outdated(self, stored: str) -> bool:
        return not stored.startswith(f"{SCHEME}$2b${self._cost:02d}$")

    def _digest(self, password: str) -> bytes:
        text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
        return base64.b64encode(hmac.digest(self._pepper, text, hashlib.sha256))

    async def _run(self, function: Callable[[bytes, bytes], Result], one: bytes, other: bytes) -> Result:
        if self._waiting >= MAXIMUM_WAITING:
            raise TooManyRequests("too many log-ins at once; try again in a few seconds", retry_after_s=5)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, one, other)
        finally:
            self._waiting -= 1

"""Who is signed in at the dashboard: the browser holds a random key, the tokens of the API stay in this process."""

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from digital_twin.client import TwinClient
from digital_twin.domain.errors import TwinError, Unavailable

LIFETIME_S = 12 * 3600
"""Then one signs in again, whatever the API's tokens still allow."""

MOST_SESSIONS = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """One person's log-in and their connection to the API."""

    key: str
    username: str
    client: TwinClient
    ends_at_s: float


class Sessions:
    """All sessions of this process."""

    def __init__(
        self, seconds: Callable[[], float] = time.monotonic, connect: Callable[..., TwinClient] = TwinClient
    ) -> None:
        self._seconds = seconds
        self._connect = connect
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}

    def open(self, api_url: str, username: str, password: str, *, address: str | None = None) -> Session:
        """Sign in at the API on behalf of somebody at this address.

        Raises:
            SignInNeeded: wrong name or password.
            Unavailable: no answer, too many attempts, or too many people at once.
        """
        client = self._connect(api_url, forwarded_for=address)
        try:
            client.login(username, password)
            session = Session(secrets.token_urlsafe(32), client.me()["username"], client, self._seconds() + LIFETIME_S)
            self._keep(session)
        except BaseException:
            client.close()
            raise
        return session

    def find(self, key: str | None) -> Session | None:
        """The session of this key, unless it ended."""
        session = None if key is None else self._open.get(key)
        if session is not None and session.ends_at_s <= self._seconds():
            self.close(session.key)
            return None
        return session

    def close(self, key: str | None) -> None:
        """End a session here and at the API; nothing if there is none."""
        with self._lock:
            session = None if key is None else self._open.pop(key, None)
        if session is not None:
            _sign_out(session.client)

    def close_all(self) -> None:
        """End every session."""
        for key in list(self._open):
            self.close(key)

    def _keep(self, session: Session) -> None:
        now = self._seconds()
        for ended in [one.key for one in list(self._open.values()) if one.ends_at_s <= now]:
            self.close(ended)
        with self._lock:
            if len(self._open) >= MOST_SESSIONS:
                raise Unavailable("too many people are signed in; try again later")
            self._open[session.key] = session


def _sign_out(client: TwinClient) -> None:
    with suppress(TwinError):  # the API's own expiry ends what it cannot be told now
        client.logout()
    client.close()


SESSIONS = Sessions()
"""Pages run as scripts that are handed nothing, in the process of the server: both sides meet here."""

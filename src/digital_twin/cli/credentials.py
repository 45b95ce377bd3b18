"""Where the command line finds the server and its own credentials."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from digital_twin.client import SignInNeeded, Tokens, TwinClient

DEFAULT_URL = "http://127.0.0.1:8000"
API_KEY_VARIABLE = "DIGITAL_TWIN_API_KEY"


def credentials_file() -> Path:
    """Private to the user; follows XDG_CONFIG_HOME."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "digital-twin" / "credentials.json"


@dataclass(frozen=True, slots=True)
class SavedLogin:
    """The tokens of one server."""

    url: str
    tokens: Tokens

    def save(self) -> None:
        """Write them so that nobody else can read them; never half."""
        path = credentials_file()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {
            "url": self.url,
            "access_token": self.tokens.access_token,
            "refresh_token": self.tokens.refresh_token,
        }
        fresh = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        fresh.replace(path)


def saved_login() -> SavedLogin | None:
    """The last log-in, if there is one."""
    try:
        content = json.loads(credentials_file().read_text())
        return SavedLogin(content["url"], Tokens(content["access_token"], content["refresh_token"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def connect(url: str | None) -> TwinClient:
    """A client by API key from the environment, or else by the saved log-in.

    Raises:
        SignInNeeded: neither is there for this server.
    """
    login = saved_login()
    server = (url or (login.url if login is not None else DEFAULT_URL)).rstrip("/")
    api_key = os.environ.get(API_KEY_VARIABLE)
    if api_key:
        return TwinClient(server, api_key=api_key)
    if login is None or server != login.url:
        raise SignInNeeded(f"nobody is signed in at {server}; run: digital-twin login --url {server}")
    return TwinClient(server, tokens=login.tokens, on_refresh=lambda tokens: SavedLogin(server, tokens).save())

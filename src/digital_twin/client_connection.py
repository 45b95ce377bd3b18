"""How the client speaks HTTP: who it is, what becomes of refusals, tokens that are renewed."""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from digital_twin.client_errors import error_class, error_of
from digital_twin.domain import errors

_NO_TOKENS_NEEDED = ("/auth/login", "/auth/refresh", "/auth/register")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a log-in gives."""

    access_token: str
    refresh_token: str


class Connection:
    """Requests to one installation under one identity.

    Raises (every method):
        Unavailable: no answer, or the API asks to try later.
        SignInNeeded: no, or no longer valid, credentials.
        TwinError: whatever the API's problem says.
    """

    def __init__(
        self,
        http: httpx.Client,
        *,
        api_key: str | None = None,
        tokens: Tokens | None = None,
        on_refresh: Callable[[Tokens], None] | None = None,
    ) -> None:
        self.tokens = tokens
        self._http = http
        self._api_key = api_key
        self._on_refresh = on_refresh
        self._refreshing = threading.Lock()

    @property
    def url(self) -> str:
        """Where the installation is."""
        return str(self._http.base_url)

    def close(self) -> None:
        self._http.close()

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to a request, once more with renewed tokens where the first were refused."""
        with self._opened(method, path, **options) as response:
            response.read()
            return response

    def download(self, path: str, **options: Any) -> Iterator[bytes]:
        """The body of an answer piece by piece, however long it is."""
        with self._opened("GET", path, **options) as response, self._translated():
            yield from response.iter_bytes()

    @contextmanager
    def _opened(self, method: str, path: str, **options: Any) -> Generator[httpx.Response]:
        """An answer whose body is still to be read."""
        headers, tokens = {**options.pop("headers", {}), **self._credentials()}, self.tokens
        response = self._open(method, path, headers, options)
        try:
            if response.status_code == 401 and tokens is not None and path not in _NO_TOKENS_NEEDED:
                response.close()
                self._refresh(tokens)
                response = self._open(method, path, {**headers, **self._credentials()}, options)
            with self._translated():
                if response.is_error:
                    response.read()
                    raise _error(response)
                yield response
        finally:
            response.close()

    def _open(self, method: str, path: str, headers: dict[str, str], options: dict[str, Any]) -> httpx.Response:
        with self._translated():
            try:
                request = self._http.build_request(method, path, headers=headers, **options)
            except ValueError as error:  # JSON has no word for them
                raise errors.InvalidInput("numbers must be finite; NaN and infinity cannot be sent") from error
            return self._http.send(request, stream=True)

    @contextmanager
    def _translated(self) -> Generator[None]:
        """The transport's errors as ours."""
        try:
            yield
        except httpx.UnsupportedProtocol as error:
            raise no_address(self.url) from error
        except httpx.TransportError as error:
            raise errors.Unavailable(
                f"no answer from {self.url}; is the server running? start one with: digital-twin serve",
                retry_after_s=1,
            ) from error

    def _credentials(self) -> dict[str, str]:
        if self._api_key is not None:
            return {"X-API-Key": self._api_key}
        return {} if self.tokens is None else {"Authorization": f"Bearer {self.tokens.access_token}"}

    def _refresh(self, used: Tokens) -> None:
        """Exchange the pair that was refused, unless another thread already did: a pair is good once."""
        with self._refreshing:
            if self.tokens is not used:
                return
            answer = self.send("POST", "/auth/refresh", json={"refresh_token": used.refresh_token}).json()
            self.tokens = Tokens(answer["access_token"], answer["refresh_token"])
            if self._on_refresh is not None:
                self._on_refresh(self.tokens)


def no_address(url: str) -> errors.InvalidInput:
    return errors.InvalidInput(f"the server must be an address such as http://127.0.0.1:8000, got {url!r}", field="url")


def _error(response: httpx.Response) -> errors.TwinError:
    """The domain's error that an answer stands for."""
    try:
        return error_of(response.json(), error_class(response.status_code))
    except (ValueError, KeyError, TypeError, AttributeError):
        return errors.Unavailable(f"the server answered {response.status_code} without a problem document")


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None, times as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
        if value is not None
    }

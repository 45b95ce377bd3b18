"""The Python client against a small server of its own: tokens, threads, and on whose behalf it asks."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from digital_twin.client import SignInNeeded, Tokens, TwinClient


class TokenServer(ThreadingHTTPServer):
    """Knows one pair of tokens at a time; a refused pair waits until `together` requests were refused."""

    def __init__(self, together: int = 1) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refused = threading.Barrier(together)
        self.pair = 1
        self.refreshes: list[str] = []
        self.forwarded: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_GET(self) -> None:
        self.server.forwarded.append(self.headers["X-Forwarded-For"])
        if self.headers["Authorization"] == f"Bearer access {self.server.pair}":
            self._answer(200, {"username": "ada"})
        else:
            self.server.refused.wait(timeout=30)
            self._answer(401, {"type": "/problems/not-signed-in", "detail": "the token has expired"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/auth/logout":
            self._answer(204, None)
            return
        self.server.refreshes.append(json.loads(body)["refresh_token"])
        self.server.pair += 1
        self._answer(200, {"access_token": f"access {self.server.pair}", "refresh_token": f"r{self.server.pair}"})

    def _answer(self, status: int, document: Any) -> None:
        content = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name that it overrides
        """Silence."""


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[tuple[TokenServer, threading.Thread]] = []

    def start(**options: Any) -> tuple[TokenServer, str]:
        server = TokenServer(**options)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return server, f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_threads_that_are_refused_together_refresh_once(serve: Any) -> None:
    server, url = serve(together=3)
    with TwinClient(url, tokens=Tokens("access 0", "r0")) as client, ThreadPoolExecutor(3) as pool:
        answers = [one.result() for one in [pool.submit(client.me) for _ in range(3)]]
    assert answers == [{"username": "ada"}] * 3
    assert server.refreshes == ["r0"]


def test_after_a_log_out_the_client_is_nobody(serve: Any) -> None:
    server, url = serve()
    with TwinClient(url, tokens=Tokens("access 1", "r1")) as client:
        assert client.me() == {"username": "ada"}
        client.logout()
        with pytest.raises(SignInNeeded):
            client.me()
    assert server.refreshes == []


def test_it_says_on_whose_behalf_it_asks_only_where_it_was_told(serve: Any) -> None:
    server, url = serve()
    for address in ("192.0.2.7", None):
        with TwinClient(url, tokens=Tokens("access 1", "r1"), forwarded_for=address) as client:
            client.me()
    assert server.forwarded == ["192.0.2.7", None]

"""Readings are sent in batches, each again and again until an answer comes, and counted once."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import orjson
import pytest
from tests.builders import MONDAY, series

from digital_twin.cli import upload
from digital_twin.client import TwinClient
from digital_twin.domain.errors import Unavailable

COUNTS = dict.fromkeys(("received", "stored", "duplicate", "corrected", "superseded", "rejected_count"), 0)


class Faltering(HTTPServer):
    """A server that is away for its first requests, and then takes readings."""

    def __init__(self, failures: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failures = failures
        self.keys: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Faltering

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.append(self.headers["Idempotency-Key"])
        if len(self.server.keys) <= self.server.failures:
            return  # closed without an answer
        body = orjson.dumps({**COUNTS, "received": 3, "stored": 3, "rejected": []})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr(upload, "time", SimpleNamespace(sleep=waited.append))  # other threads go on waiting
    return waited


@pytest.fixture
def faltering(request: pytest.FixtureRequest) -> Iterator[Faltering]:
    server = Faltering(request.param)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def send(server: Faltering) -> upload.Counts:
    with TwinClient(server.url, api_key="dt_live_x") as client:
        counts, _ = upload.send_readings(
            client, "valley", [series("load_kw", [1.0, 2.0, 3.0], start=MONDAY)], lambda _: None
        )
    return counts


@pytest.mark.parametrize("faltering", [upload.TRIES - 1], indirect=True)
def test_a_batch_outlives_a_server_that_is_started_again(faltering: Faltering, waits: list[float]) -> None:
    assert send(faltering)["stored"] == 3
    assert len(set(faltering.keys)) == 1
    assert 30 <= sum(waits) <= 60


@pytest.mark.parametrize("faltering", [upload.TRIES], indirect=True)
def test_a_server_that_stays_away_is_said(faltering: Faltering, waits: list[float]) -> None:
    with pytest.raises(Unavailable):
        send(faltering)
    assert len(waits) == upload.TRIES - 1

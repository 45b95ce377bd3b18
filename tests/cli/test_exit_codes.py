"""Every way to fail has a number and one sentence, and nothing is left behind."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.cli.command_line import END, START, CommandLine, assert_fails, create, serve
from tests.e2e.serving import Installation

from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.cli.main import EXIT_CODES, exit_code
from digital_twin.client import SignInNeeded
from digital_twin.domain import errors

# Exit codes


def test_every_kind_of_error_has_an_exit_code_of_its_own() -> None:
    direct = [cls for cls in errors.TwinError.__subclasses__() if cls.__module__ == errors.__name__]
    assert {cls: exit_code(cls("")) for cls in direct} == EXIT_CODES
    assert len(set(EXIT_CODES.values())) == len(direct)
    assert exit_code(SignInNeeded("")) == EXIT_CODES[errors.NotAllowed]
    assert exit_code(errors.TwinError("")) == 1


def test_an_invalid_request_is_2(line: CommandLine, community: str) -> None:
    done = line.run("forecast", "--community", community, "--start", START, "--hours", "-1")
    assert done.returncode == 2
    assert "horizon_hours" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["forecast"], ["forecast", "--community", "x", "--start", "yesterday"], ["unknown"],
        ["import", "x.csv", "--community", "x", "--label", "middle"],
        ["export", "--community", "x", "--series", "load_kw", "--start", START],
    ],
)  # fmt: skip
def test_a_command_that_is_written_wrong_is_2(line: CommandLine, arguments: list[str]) -> None:
    assert line.run(*arguments).returncode == 2


def test_an_unknown_community_is_3(line: CommandLine, day: Path) -> None:
    assert_fails(line.run("forecast", "--community", "nowhere"), 3, "not-found")
    assert_fails(line.run("import", str(day), "--community", "nowhere"), 3, "not-found")


def test_a_limit_that_cannot_hold_is_7_and_named(line: CommandLine, http: httpx.Client) -> None:
    community = create(http, grid_import_limit_kw=1.0, total_storage_capacity_kwh=0.0, max_storage_power_kw=0.0)
    done = line.run("dispatch", "--community", community, "--start", START)
    assert_fails(done, 7, "infeasible", "grid_import_limit_kw")


def test_a_server_that_is_not_there_is_8_and_one_sentence(line: CommandLine, day: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    options = ("--username", "somebody", "--url", url, "--password-stdin")
    assert_fails(line.run("login", *options, stdin="secret\n"), 8, "unavailable", "digital-twin serve")
    done = line.run("import", str(day), "--community", "x", "--url", url, api_key="dt_live_x")
    assert_fails(done, 8, "unavailable", "digital-twin serve")


@pytest.fixture
def other_server() -> Iterator[str]:
    """A web server that is no twin."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_that_is_no_twin_is_8(line: CommandLine, other_server: str) -> None:
    options = ("--username", "somebody", "--url", other_server, "--password-stdin")
    assert_fails(line.run("login", *options, stdin="secret\n"), 8, "no digital twin")


# A server that cannot start; it says so before a database is touched


def test_a_port_that_is_taken_is_2_and_starts_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = serve(tmp_path, "--port", str(taken.getsockname()[1]))
        demo = Installation(tmp_path).run("demo", "--home", str(tmp_path), "--port", str(taken.getsockname()[1]))
    for ended in (done, demo):
        assert_fails(ended, 2, "invalid-input", "taken by another program", "--port")
    assert not list(tmp_path.iterdir())


def test_an_address_of_another_machine_cannot_be_served(tmp_path: Path) -> None:
    assert_fails(serve(tmp_path, "--host", "192.0.2.1"), 2, "cannot listen on 192.0.2.1")


def test_a_terminal_that_closes_takes_the_database_with_it(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.start()
    try:
        installation.hang_up()
        assert not EmbeddedPostgres(tmp_path).is_running()
    finally:
        installation.stop()


def test_a_socket_that_was_not_handed_down_is_2(tmp_path: Path) -> None:
    assert_fails(serve(tmp_path, "--listener", "77"), 2, "no socket")


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("postgresql://me:canary@127.0.0.1:1/x", 8, "the database does not answer"),
        ("mysql://me:canary@127.0.0.1/x", 2, "DATABASE_URL must look like postgresql://"),
    ],
)
def test_a_server_without_its_database_ends_with_one_sentence(
    tmp_path: Path, address: str, code: int, words: str
) -> None:
    done = serve(tmp_path, DATABASE_URL=address)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr


def test_a_number_that_is_none_is_2(line: CommandLine, community: str) -> None:
    assert_fails(line.run("forecast", "--community", community, "--hours", "nan"), 2, "finite")


def test_what_is_wrong_is_said_once(line: CommandLine, community: str) -> None:
    assert_fails(line.run("forecast", "--community", community, "--hours", "0"), 2, "/horizon_hours")


def test_an_address_that_is_none_is_2(line: CommandLine) -> None:
    options = ("--username", "somebody", "--url", "nonsense", "--password-stdin")
    assert_fails(line.run("login", *options, stdin="secret\n"), 2, "http://127.0.0.1:8000")


def test_a_file_that_cannot_be_written_is_1(line: CommandLine, community: str, day: Path) -> None:
    line.output("import", str(day), "--community", community)
    options = ("--series", "load_kw", "--start", START, "--end", END, "--output", "/nowhere/out.csv")
    assert_fails(line.run("export", "--community", community, *options), 1, "/nowhere/out.csv")

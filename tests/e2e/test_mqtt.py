"""The page about MQTT, its own commands one after the other: a broker with rights, a server, messages, readings."""

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.application import EIGHT_NUMBERS
from tests.e2e.serving import PASSWORD, Installation, is_running
from tests.mosquitto import SYSTEM_PROGRAMS, Mosquitto
from tests.programs import program

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "connect-mqtt.md"
PATIENCE_S = 180.0
BLOCKS = [(language, text) for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)]
FILES = [text for language, text in BLOCKS if not language]
COMMANDS = [text for language, text in BLOCKS if language == "sh"]
PAGES_BROKER_PORT, PAGES_API_PORT = "1883", "8000"


class Reader:
    """Someone who does what the page says, on other ports."""

    def __init__(self, folder: Path, broker: Mosquitto, installation: Installation) -> None:
        self._folder, self._broker, self._installation = folder, broker, installation

    def do(self, commands: str) -> list[Any]:
        """The JSON documents that the commands print."""
        commands = commands.replace(PAGES_API_PORT, str(self._installation.port))
        commands = commands.replace("mosquitto_pub ", f"mosquitto_pub -p {self._broker.port} ")
        done = subprocess.run(
            ["bash", "-euc", commands],
            cwd=self._folder,
            env=with_servers(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        decoder, found, rest = json.JSONDecoder(), [], done.stdout.strip()
        while rest:
            document, end = decoder.raw_decode(rest)
            found.append(document)
            rest = rest[end:].strip()
        return found


def with_servers() -> dict[str, str]:
    return {**os.environ, "PATH": os.pathsep.join((os.environ["PATH"], SYSTEM_PROGRAMS))}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """The page's broker."""
    folder = tmp_path_factory.mktemp("broker")
    program("mosquitto_pub", package="mosquitto-clients")
    settings = [line for line in FILES[0].splitlines() if not line.startswith(("listener", "persistence", "max_"))]
    (folder / "rights").write_text(FILES[1])
    prepare = "\n".join(line for line in COMMANDS[0].splitlines() if not line.startswith("mosquitto -c"))
    program("mosquitto_passwd", package="mosquitto")
    subprocess.run(["bash", "-euc", prepare], cwd=folder, env=with_servers(), check=True, capture_output=True)
    made = Mosquitto(folder, *(re.sub(r"^(\w+_file) ", rf"\1 {folder}/", line) for line in settings))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def installation(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The page's server, with its ingester."""
    _, *given_words = shlex.split(COMMANDS[1].splitlines()[0])
    given = dict(word.split("=", 1) for word in given_words)
    given["MQTT_URL"] = given["MQTT_URL"].replace(PAGES_BROKER_PORT, str(broker.port))
    made = Installation(tmp_path_factory.mktemp("home"), **given)
    made.create_administrator("ada")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def reader(broker: Mosquitto, installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Someone whose community is there, and whose log-in the page uses."""
    assert PASSWORD in COMMANDS[2]
    with installation.client("ada") as client:
        answer = client.post("/communities", json={"community_id": "green_village", **EIGHT_NUMBERS})
        assert answer.status_code == 201
    return Reader(tmp_path_factory.mktemp("reader"), broker, installation)


def until(is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def messages_are_taken(installation: Installation) -> bool:
    return httpx.get(f"{installation.url}/health/ready").json()["mqtt"] is True


def test_the_page_leads_from_a_broker_to_readings_and_dead_letters(installation: Installation, reader: Reader) -> None:
    until(lambda: messages_are_taken(installation))
    members, trial = reader.do(COMMANDS[2] + COMMANDS[3])
    assert members["created"] == 1
    assert [one["series"] for one in trial["readings"]] == ["load_kw", "pv_kw"]
    assert trial["refused"] == []
    login = COMMANDS[2].rpartition("curl")[0]
    [mapping] = reader.do(login + COMMANDS[4])
    assert mapping["mapping_id"] == "meters"
    publish, ask = "NOW=$(date +%s)\n" + COMMANDS[5].partition("curl")[0], "curl" + COMMANDS[5].partition("curl")[2]
    found: list[Any] = []

    def both_are_there() -> bool:
        reader.do(publish)  # again and again: nothing is kept of what comes before the mapping holds
        found[:] = reader.do(login + ask)
        series, letters = found
        return len(series["series"]) == 2 and bool(letters["dead_letters"])

    until(both_are_there)
    series, letters = found
    assert [one["member_id"] for one in series["series"]] == ["home_1", "home_1"]
    assert letters["dead_letters"][0]["reason"] == "the payload is not JSON"


def test_an_ingester_that_is_killed_is_started_again(installation: Installation) -> None:
    until(lambda: messages_are_taken(installation))
    before = installation.child("--ingest")
    os.kill(before, 9)
    until(lambda: not is_running(before) and installation.child("--ingest") != before)
    until(lambda: messages_are_taken(installation))

"""scripts/deployment/deploy.sh on a docker that only notes what it is asked."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECRETS = (
    "POSTGRES_PASSWORD",
    "DATABASE_PASSWORD",
    "SECRET_KEY",
    "JWT_SECRET_KEY",
    "GRAFANA_ADMIN_PASSWORD",
    "METERS_PASSWORD",
)
DOCKER = r"""#!/usr/bin/env bash
echo "$*" >> "$NOTES"
case "$*" in
  "volume inspect"*) exit "${VOLUME_MISSING:-1}" ;;
  *"config --services"*) printf 'api\ndb\nredis\ngrafana\n' ;;
  *"ps --all"*) printf 'api running unhealthy\ndb running healthy\nredis exited \n' ;;
  *" up "*) exit "${UP:-0}" ;;
  *logs*) echo "the log of ${!#}" ;;
esac
"""


class Checkout:
    """A checkout with the script, called from elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "check out" / "scripts" / "deployment" / "deploy.sh"
        self._script.parent.mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "deployment" / "deploy.sh", self._script)
        self.env_file = folder / "check out" / "config" / ".env"
        self.env_file.parent.mkdir()
        (folder / "check out" / "deployment").mkdir()
        self._notes = folder / "notes"
        self._programs = folder / "programs"
        self._programs.mkdir()
        (self._programs / "docker").write_text(DOCKER)
        (self._programs / "docker").chmod(0o755)

    def deploy(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self._programs}:{os.environ['PATH']}"
        given = {**os.environ, "PATH": path, "NOTES": str(self._notes), **environment}
        return subprocess.run(
            [str(self._script), *arguments], cwd="/", env=given, capture_output=True, text=True, check=False
        )

    def asked(self) -> str:
        """What docker was asked last for compose."""
        return [line for line in self._notes.read_text().splitlines() if " up " in line][-1]

    def secrets(self) -> dict[str, str]:
        lines = [line.partition("=") for line in self.env_file.read_text().splitlines() if line and line[0] != "#"]
        assert len({name for name, _, _ in lines}) == len(lines)
        return {name: value for name, _, value in lines}

    def lose_docker(self) -> None:
        (self._programs / "docker").write_text("#!/bin/sh\nexit 1\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_missing_secrets_are_made_once_strong_and_for_their_owner_alone(checkout: Checkout) -> None:
    first = checkout.deploy("up")
    assert first.returncode == 0, first.stderr
    made = checkout.secrets()
    assert set(made) == set(SECRETS)
    assert len(set(made.values())) == len(SECRETS)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{48}", value) for value in made.values())
    assert checkout.env_file.stat().st_mode & 0o777 == 0o600
    assert not [value for value in made.values() if value in first.stdout + first.stderr]
    checkout.deploy("up", VOLUME_MISSING="0")
    assert checkout.secrets() == made


def test_what_the_file_has_is_kept_and_what_it_lacks_is_added(checkout: Checkout) -> None:
    checkout.env_file.write_text("# mine\nLOG_LEVEL=DEBUG\nSECRET_KEY=my-own-key\n# JWT_SECRET_KEY=\nAPI_PORT=9000")
    done = checkout.deploy("up")
    kept = checkout.secrets()
    assert (kept["LOG_LEVEL"], kept["SECRET_KEY"], kept["API_PORT"]) == ("DEBUG", "my-own-key", "9000")
    assert set(SECRETS) <= set(kept)
    assert "http://localhost:9000/docs" in done.stdout
    assert "http://localhost:9100/docs" in checkout.deploy("up", API_PORT="9100").stdout


def test_a_database_whose_password_is_lost_is_not_given_another(checkout: Checkout) -> None:
    done = checkout.deploy("up", VOLUME_MISSING="0")
    assert done.returncode == 1
    assert "put that config/.env back" in done.stderr
    assert not checkout.env_file.exists()


def test_what_failed_is_shown_with_its_log_and_what_runs_is_not(checkout: Checkout) -> None:
    done = checkout.deploy("up", UP="1")
    assert done.returncode == 1
    assert "api is running (unhealthy)" in done.stderr
    assert "redis is exited" in done.stderr
    assert "the log of api" in done.stderr
    assert "the log of redis" in done.stderr
    assert "the log of db" not in done.stderr
    assert "/docs" not in done.stdout


def test_services_are_left_out_by_name(checkout: Checkout) -> None:
    assert checkout.deploy("up", "--build", "--without", "grafana").returncode == 0
    assert checkout.asked().endswith("--build api db redis")
    refused = checkout.deploy("up", "--without", "nginx")
    assert refused.returncode == 1
    assert "there is no service nginx" in refused.stderr


@pytest.mark.parametrize("arguments", [["frob"], ["up", "--fast"], ["up", "--without"], ["status"]])
def test_what_it_cannot_do_is_a_sentence(checkout: Checkout, arguments: list[str]) -> None:
    done = checkout.deploy(*arguments)
    assert done.returncode == 1
    assert re.search(r"^deploy\.sh: .+", done.stderr, re.MULTILINE)


def test_without_docker_it_says_what_to_install_and_makes_nothing(checkout: Checkout) -> None:
    checkout.lose_docker()
    done = checkout.deploy("up")
    assert done.returncode == 1
    assert "docker-compose-plugin" in done.stderr
    assert not checkout.env_file.exists()

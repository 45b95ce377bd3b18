"""Settings: what production refuses, and where they are read from."""

from pathlib import Path

import pytest

from digital_twin.bootstrap import read_settings
from digital_twin.domain.errors import InvalidInput
from digital_twin.settings import Registration

STRONG = "kX7-pQ2_vT9mR4wZ8nB3cF6hJ1sL5dG0yA"
OTHER = "Zt5_bN8-eU1qW3xC6vM9kP2rY7aS4fH0jD"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "ENVIRONMENT",
        "SECRET_KEY",
        "JWT_SECRET_KEY",
        "REGISTRATION",
        "DIGITAL_TWIN_HOME",
        "API_PORT",
        "REDIS_URL",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("secret", [None, "short", "change-me-change-me-change-me-change-me", "password" * 8])
def test_production_refuses_missing_short_and_telling_secrets(secret: str | None) -> None:
    with pytest.raises(InvalidInput, match="SECRET_KEY must be set to at least 32 random characters"):
        read_settings(environment="production", secret_key=secret, jwt_secret_key=OTHER)
    with pytest.raises(InvalidInput, match="JWT_SECRET_KEY"):
        read_settings(environment="production", secret_key=STRONG, jwt_secret_key=secret)


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_settings(environment="production", secret_key="change-me-canary", jwt_secret_key=OTHER)
    assert "canary" not in refused.value.message


@pytest.mark.parametrize("cost", [4, 11])
def test_production_refuses_quick_password_hashes(cost: int) -> None:
    with pytest.raises(InvalidInput, match="PASSWORD_COST must be at least 12"):
        read_settings(environment="production", secret_key=STRONG, jwt_secret_key=OTHER, password_cost=cost)


def test_production_invites_and_development_is_open() -> None:
    production = read_settings(environment="production", secret_key=STRONG, jwt_secret_key=OTHER)
    assert production.registration_policy is Registration.INVITE
    assert read_settings().registration_policy is Registration.OPEN
    assert read_settings(registration="closed").registration_policy is Registration.CLOSED


def test_a_broken_setting_is_named() -> None:
    with pytest.raises(InvalidInput, match="API_PORT"):
        read_settings(api_port=70_000)


@pytest.mark.parametrize(
    "address", ["localhost:6379", "http://cache:6379", "redis://", "redis://:canary@:6379", "redis://:canary@host:high"]
)
def test_an_address_that_is_no_redis_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"REDIS_URL .*must look like redis://") as refused:
        read_settings(redis_url=address)
    assert "canary" not in refused.value.message


def test_a_redis_may_want_a_password_and_tls() -> None:
    settings = read_settings(redis_url="rediss://:secret@cache.example.org:6380/2")
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "rediss://:secret@cache.example.org:6380/2"


@pytest.mark.parametrize(
    "address",
    ["broker", "http://broker", "mqtt://", "mqtt://twin:canary@broker", "mqtt://broker/canary", "mqtt://b:high"],
)
def test_an_address_that_is_no_broker_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"MQTT_URL .*must look like mqtt://") as refused:
        read_settings(mqtt_url=address)
    assert "canary" not in refused.value.message


@pytest.mark.parametrize("address", ["mqtt://broker", "mqtts://broker.example.org:8883", "mqtt://127.0.0.1:1883/"])
def test_a_broker_is_named_by_its_host_and_the_port_that_it_has(address: str) -> None:
    assert read_settings(mqtt_url=address).mqtt_url == address


def test_a_log_level_is_one_of_five_in_any_case() -> None:
    assert read_settings(log_level="debug").log_level == "DEBUG"
    with pytest.raises(InvalidInput, match="DEBUG, INFO, WARNING, ERROR, CRITICAL"):
        read_settings(log_level="loud")


def test_the_environment_wins_over_the_file_and_a_tilde_is_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / ".env").write_text("API_PORT=8001\nDIGITAL_TWIN_HOME=~/twin\n")
    assert read_settings().api_port == 8001
    assert read_settings().digital_twin_home == Path.home() / "twin"
    monkeypatch.setenv("API_PORT", "8002")
    assert read_settings().api_port == 8002


@pytest.mark.parametrize(
    "address",
    ["", "api.open-meteo.com", "ftp://host/", "https://", "https://host:0", "https://host/api?token=x", "https://[::1"],
)
def test_a_source_of_feeds_is_an_address_on_the_web(address: str) -> None:
    for name in ("open_meteo_url", "open_meteo_archive_url", "entsoe_url"):
        with pytest.raises(InvalidInput, match=f"{name.upper()} .*must be an address such as https://host/path"):
            read_settings(**{name: address})
    assert read_settings(entsoe_url="http://mirror.example.org:8080/api").entsoe_url.endswith("/api")

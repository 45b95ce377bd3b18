"""Every setting, once. Names are those of the environment; `config/.env.example` documents them."""

from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from digital_twin.domain.errors import InvalidInput

WEAK_SECRETS = ("secret", "change", "example", "password", "default", "insecure")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MINIMUM_SECRET_LENGTH = 32
MINIMUM_PRODUCTION_PASSWORD_COST = 12


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Registration(StrEnum):
    OPEN = "open"
    INVITE = "invite"
    CLOSED = "closed"


def default_home() -> Path:
    """Where an embedded installation keeps its data."""
    return Path.home() / ".local" / "share" / "digital-twin"


class Settings(BaseSettings):
    """Read from the environment, then from `config/.env`."""

    model_config = SettingsConfigDict(env_file="config/.env", extra="ignore", env_ignore_empty=True)

    environment: Environment = Environment.DEVELOPMENT
    digital_twin_home: Path = Field(default_factory=default_home)
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    database_pool_size: int = Field(default=10, ge=2, le=200)
    start_worker: bool = True
    start_dashboard: bool = False
    worker_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    mqtt_url: str | None = None
    mqtt_client_id: str = Field(default="digital-twin", min_length=1, max_length=64)
    mqtt_username: str | None = None
    mqtt_password: SecretStr | None = None
    mqtt_ca_file: Path | None = None
    mqtt_certificate_file: Path | None = None
    mqtt_key_file: Path | None = None
    ingest_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    dashboard_host: str = "127.0.0.1"
    dashboard_port: int = Field(default=8501, ge=1, le=65535)
    api_url: str | None = None
    secret_key: SecretStr | None = None
    jwt_secret_key: SecretStr | None = None
    jwt_access_token_expire_minutes: int = Field(default=30, ge=1, le=1440)
    registration: Registration | None = None
    allowed_hosts: str = "*"
    trusted_proxies: str = ""
    max_prosumers_per_community: int = Field(default=10_000, ge=1, le=1_000_000)
    max_body_mib: int = Field(default=32, ge=1, le=1024)
    max_streamed_body_mib: int = Field(default=4096, ge=1, le=1_048_576)
    optimization_timeout_minutes: float = Field(default=1.0, gt=0, le=60)
    retrain_forecasts: bool = True
    compute_processes: int = Field(default=2, ge=1, le=64)
    password_cost: int = Field(default=12, ge=4, le=16)
    login_attempts_per_5_minutes: int = Field(default=10, ge=1)
    registrations_per_hour: int = Field(default=20, ge=1)
    open_meteo_url: str = "https://api.open-meteo.com"
    open_meteo_archive_url: str = "https://archive-api.open-meteo.com"
    open_meteo_api_key: SecretStr | None = None
    entsoe_url: str = "https://web-api.tp.entsoe.eu/api"
    entsoe_api_token: SecretStr | None = None
    log_level: str = "INFO"

    @property
    def registration_policy(self) -> Registration:
        """Who may register: anyone in development, invited people in production, unless it is said."""
        if self.registration is not None:
            return self.registration
        return Registration.INVITE if self.environment is Environment.PRODUCTION else Registration.OPEN

    @property
    def upload_folder(self) -> Path:
        """Where large bodies lie, nameless, while they arrive and until they are stored."""
        return self.digital_twin_home / "uploads"

    @property
    def api_address(self) -> str:
        """Where the dashboard asks the API: at `API_URL`, or on this machine."""
        if self.api_url is not None:
            return self.api_url
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.api_host, self.api_host)  # noqa: S104  names, not bound
        return f"http://{host}:{self.api_port}"

    @field_validator("digital_twin_home")
    @classmethod
    def _expand_home(cls, value: Path) -> Path:
        return value.expanduser()

    @field_validator("redis_url")
    @classmethod
    def _name_a_redis(cls, value: SecretStr | None) -> SecretStr | None:
        """The address itself is not repeated: it may hold a password."""
        rule = "must look like redis://:password@host:6379/0, or rediss:// for TLS"
        try:
            address = urlsplit(value.get_secret_value()) if value else None
            if address and (address.scheme not in ("redis", "rediss") or not address.hostname or address.port == 0):
                raise ValueError(rule)
        except ValueError:
            raise ValueError(rule) from None
        return value

    @field_validator("mqtt_url")
    @classmethod
    def _name_a_broker(cls, value: str | None) -> str | None:
        """A password in the address is not repeated."""
        rule = "must look like mqtt://host:1883, or mqtts:// for TLS; names go into MQTT_USERNAME and MQTT_PASSWORD"
        try:
            parts = urlsplit(value or "mqtt://host")
            is_bare = not (parts.username or parts.password or parts.query) and parts.path in ("", "/")
            if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.port == 0 or not is_bare:
                raise ValueError(rule)
        except ValueError:
            raise ValueError(rule) from None
        return value

    @field_validator("open_meteo_url", "open_meteo_archive_url", "entsoe_url")
    @classmethod
    def _name_a_source(cls, value: str) -> str:
        """Requests go there and nowhere else: no community can name another address."""
        try:
            address = urlsplit(value)
            is_web = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
            is_good = is_web and not address.query and not address.fragment
        except ValueError:
            is_good = False
        if not is_good:
            raise ValueError("must be an address such as https://host/path, without a query")
        return value

    @field_validator("log_level")
    @classmethod
    def _name_a_level(cls, value: str) -> str:
        if value.upper() not in LOG_LEVELS:
            raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
        return value.upper()

    @field_validator("trusted_proxies")
    @classmethod
    def _name_each_proxy(cls, value: str) -> str:
        """`*` is refused too: every client could then write the address that its attempts are counted under."""
        try:
            return ",".join(str(ip_network(part.strip())) for part in value.split(",") if part.strip())
        except ValueError as error:
            raise ValueError("must be addresses or networks such as 10.0.0.0/8, separated by commas") from error

    @model_validator(mode="after")
    def _refuse_weak_secrets_in_production(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        if self.password_cost < MINIMUM_PRODUCTION_PASSWORD_COST:
            raise ValueError(f"PASSWORD_COST must be at least {MINIMUM_PRODUCTION_PASSWORD_COST} in production")
        for name in ("secret_key", "jwt_secret_key"):
            secret: SecretStr | None = getattr(self, name)
            value = secret.get_secret_value() if secret else ""
            weak = len(value) < MINIMUM_SECRET_LENGTH or any(word in value.lower() for word in WEAK_SECRETS)
            if weak:
                raise ValueError(
                    f"{name.upper()} must be set to at least {MINIMUM_SECRET_LENGTH} random characters in production; "
                    'make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
                )
        return self


def read_settings(**given: Any) -> Settings:
    """The settings of the environment and `config/.env`; what is given and not None goes before them.

    Raises:
        InvalidInput: a setting breaks its rule.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        rules = [f"{'.'.join(map(str, one['loc'])).upper()} {one['msg']}".strip() for one in error.errors()]
        raise InvalidInput(f"the settings are not valid: {'; '.join(rules)}") from error

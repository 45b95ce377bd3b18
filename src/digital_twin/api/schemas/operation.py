"""Health and version."""

from typing import Literal

from digital_twin.api.schemas.model import Answer


class Alive(Answer):
    status: Literal["alive"] = "alive"


class Ready(Answer):
    """Whether each dependency answers now; `redis` is null where none is configured."""

    status: Literal["ready", "not_ready"]
    database: bool
    redis: bool | None


class VersionAnswer(Answer):
    name: str
    version: str
    environment: str

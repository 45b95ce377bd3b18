"""Health and version."""

from typing import Literal

from digital_twin.api.schemas.model import Answer


class Alive(Answer):
    status: Literal["alive"] = "alive"


class Ready(Answer):
    """Whether each dependency answers now; null where none is configured. `mqtt` is whether messages are taken."""

    status: Literal["ready", "not_ready"]
    database: bool
    redis: bool | None
    mqtt: bool | None


class VersionAnswer(Answer):
    name: str
    version: str
    environment: str

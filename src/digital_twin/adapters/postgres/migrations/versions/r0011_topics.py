"""Mappings of MQTT topics, and what could not be read."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run(__file__)

"""Flags of readings."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run(__file__)

"""Readings as arrays, one row per community, day and series."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run(__file__)

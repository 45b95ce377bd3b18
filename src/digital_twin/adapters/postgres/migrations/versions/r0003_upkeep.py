"""Deletion without searching every reading, expiry by an index, and words for those who read with plain SQL."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run(__file__)

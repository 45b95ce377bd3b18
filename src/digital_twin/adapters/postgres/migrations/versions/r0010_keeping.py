"""Compaction of the journal, retention and erasure."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run(__file__)

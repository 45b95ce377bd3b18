"""Runs with what they have finished, and the events that are told live."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run(__file__)

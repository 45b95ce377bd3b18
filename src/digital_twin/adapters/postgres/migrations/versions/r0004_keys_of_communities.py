"""Idempotency keys that were used inside a community go with it."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run(__file__)

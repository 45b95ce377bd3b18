"""Forecasts as they were issued, and when each community is looked after."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run(__file__)

"""Trained versions of forecasting models."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run(__file__)

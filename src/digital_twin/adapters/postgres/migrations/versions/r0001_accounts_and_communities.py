"""Accounts, communities, members, results, and the wall between communities."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    run(__file__)

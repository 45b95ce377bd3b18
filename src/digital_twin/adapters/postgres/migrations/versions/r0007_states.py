"""States of communities: the latest with its model, those to start from again, their history, and what is due."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run(__file__)

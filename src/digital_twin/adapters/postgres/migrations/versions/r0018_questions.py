"""The questions of plans that are too large or too personal to stand in a result."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run(__file__)

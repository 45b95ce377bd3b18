"""What a plan means for each member."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run(__file__)

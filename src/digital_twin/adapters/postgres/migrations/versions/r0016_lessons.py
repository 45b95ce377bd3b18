"""What trained versions learn from the days since, and who waits for a history."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run(__file__)

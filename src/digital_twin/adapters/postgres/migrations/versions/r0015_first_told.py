"""When each interval of a state's history was first told."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run(__file__)

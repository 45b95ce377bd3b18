"""The job queue's tables and functions, pinned to the version that the program is locked to."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run(__file__)

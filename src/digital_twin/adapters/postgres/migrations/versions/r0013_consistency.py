"""How honest the errors of a state are."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run(__file__)

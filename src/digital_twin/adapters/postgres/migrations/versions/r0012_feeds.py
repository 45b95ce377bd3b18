"""Weather, prices and carbon from outside."""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run(__file__)

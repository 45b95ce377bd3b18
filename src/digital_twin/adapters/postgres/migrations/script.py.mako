"""${message}"""

from digital_twin.adapters.postgres.migrations.raw_sql import run

revision = "${up_revision}"
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    run(__file__)

"""Revisions are raw SQL in a file of the same name; forward only."""

from pathlib import Path

from alembic import op


def run(revision_file: str) -> None:
    """Run the SQL file beside a revision, whole, as one script."""
    script = Path(revision_file).with_suffix(".sql").read_text()
    cursor = op.get_bind().connection.cursor()
    cursor.execute(script)
    cursor.close()

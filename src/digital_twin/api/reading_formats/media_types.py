"""The names of the formats that readings travel in."""

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"

STREAMED_IN = (CSV, ARROW, ARROW_FILE)
"""Bodies that are read part by part, so that their size is no matter of memory."""

STREAMED_OUT = (CSV, ARROW, PARQUET)
"""Answers that are written span by span."""


def essence(content_type: str) -> str:
    """The name of a media type without its parameters."""
    return content_type.partition(";")[0].strip().lower()

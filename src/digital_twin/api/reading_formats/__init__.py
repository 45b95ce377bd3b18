"""Readings in the formats that travel: JSON, CSV and Arrow in; JSON, CSV, Arrow and Parquet out."""

from digital_twin.api.reading_formats.answers import written, written_tables
from digital_twin.api.reading_formats.delivery import Arrived, arrived
from digital_twin.api.reading_formats.media_types import (
    ARROW,
    ARROW_FILE,
    CSV,
    JSON,
    PARQUET,
    STREAMED_IN,
    STREAMED_OUT,
    essence,
)

__all__ = [
    "ARROW", "ARROW_FILE", "CSV", "JSON", "PARQUET", "STREAMED_IN", "STREAMED_OUT", "Arrived", "arrived", "essence",
    "written", "written_tables",
]  # fmt: skip

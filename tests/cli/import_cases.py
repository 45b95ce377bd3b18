"""Meter files as text, read or refused."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from digital_twin.cli.meter_files.guesses import MeterFile
from digital_twin.cli.meter_files.meter_file import read_meter_file
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.domain.errors import InvalidInput

ROUNDING = 1e-9  # decimal text and unit factors lose no more than this share
WINTER = datetime(2026, 1, 12, tzinfo=UTC)
VIENNA_SPRING = datetime(2026, 3, 27, 23, tzinfo=UTC)  # local midnight; the 23-hour day is the second one
VIENNA_AUTUMN = datetime(2026, 10, 23, 22, tzinfo=UTC)  # local midnight; the 25-hour day is the second one


def read(text: str | bytes, tmp_path: Path, **options: Any) -> MeterFile:
    path = tmp_path / "meters.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_meter_file(path, ImportOptions(**options))


def refused(text: str | bytes, tmp_path: Path, **options: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read(text, tmp_path, **options)
    return caught.value


def quarter_hours(values: list[Any], column: str = "load [kWh]", start: str = "2026-01-12 00:00") -> str:
    times = pd.date_range(start, periods=len(values), freq="15min").strftime("%Y-%m-%d %H:%M")
    rows = [f"{time},{value}" for time, value in zip(times, values, strict=True)]
    return "\n".join([f"time,{column}", *rows]) + "\n"


def kinds(file: MeterFile) -> dict[str, int]:
    found: dict[str, int] = {}
    for finding in file.findings:
        found[finding.kind] = found.get(finding.kind, 0) + finding.count
    return found

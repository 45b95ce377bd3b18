"""Where a table begins in a file that has titles above it."""

import re
from collections.abc import Sequence

_DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[ T].*)?")


def header_row(rows: Sequence[Sequence[str]]) -> int:
    """The row of names: the last full one above the first dates, else the first full one."""
    filled = [sum(cell.strip() != "" for cell in row) for row in rows]
    wanted = max(2.0, 0.8 * max(filled))
    dates = _first_dates(rows)
    if dates is not None:
        row, column = dates
        above = [
            index
            for index in range(row)
            if filled[index] >= max(2.0, 0.6 * max(filled))
            and column < len(rows[index])
            and rows[index][column].strip()
        ]
        if above:
            return above[-1]
    return next((index for index, count in enumerate(filled) if count >= wanted), 0)


def _first_dates(rows: Sequence[Sequence[str]]) -> tuple[int, int] | None:
    """The first place where a date stands above another."""
    for index in range(len(rows) - 1):
        for column, (cell, below) in enumerate(zip(rows[index], rows[index + 1], strict=False)):
            if _DATE.fullmatch(cell.strip()) and _DATE.fullmatch(below.strip()):
                return index, column
    return None

"""Numbers as the world writes them: decimal commas and points, thousands apart, words for nothing."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset(
    ("", "-", "--", "---", "na", "n/a", "#n/a", "#nv", "nan", "nat", "null", "none", "<na>", "k.a.", "missing")
)
_SINGLE = re.compile(r"[+-]?\d*([.,])\d+")
_BOTH = re.compile(r"[+-]?\d{1,3}(?:([.,])\d{3})+([.,])\d+")
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_WRITTEN = {
    ".": re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?"),
    ",": re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d*)?"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A column as numbers; NaN where a cell is empty or strange."""

    values: Array
    strange: NDArray[np.bool_]  # cells that hold something, but no number
    example: str

    @property
    def filled(self) -> int:
        """Cells that hold something."""
        return int(np.isfinite(self.values).sum() + self.strange.sum())


def decimal_sign(cells: Iterable[str]) -> str:
    """The decimal sign of cells.

    Raises:
        InvalidInput: `1,234` or `1.234` could be either, or both signs are in use.
    """
    decimals: set[str] = set()
    perhaps: set[str] = set()
    for cell in cells:
        text = cell.strip()
        if both := _BOTH.fullmatch(text):
            if both[1] != both[2]:
                decimals.add(both[2])
        elif single := _SINGLE.fullmatch(text):
            (perhaps if _MAYBE_THOUSANDS.fullmatch(text) else decimals).add(single[1])
    if len(decimals) == 1:
        return decimals.pop()
    if decimals or perhaps:
        raise InvalidInput(
            "is 1,234 a bit more than one or more than a thousand in this file? give --decimal . or --decimal ,",
            field="decimal",
        )
    return "."


def read_numbers(column: "pd.Series", decimal: str) -> Numbers:
    """The numbers of a column, whatever its type."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return _all_strange(column)
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return _finite(values, np.zeros(values.shape, bool), column)
    text = column.astype("str").str.strip()
    plain = text if decimal == "." else text.where(~text.str.contains(".", regex=False)).str.replace(",", ".")
    values = pd.to_numeric(plain, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    strange = np.zeros(values.shape, bool)
    unread = np.flatnonzero(np.isnan(values))
    meanings: dict[str, float | None] = {}
    for index, cell in zip(unread.tolist(), text.iloc[unread].tolist(), strict=True):
        written = "" if cell != cell or cell is None else str(cell)
        if written not in meanings:
            meanings[written] = _number(written, decimal)
        number = meanings[written]
        strange[index] = number is None
        values[index] = np.nan if number is None else number
    return _finite(values, strange, text)


def _number(cell: str, decimal: str) -> float | None:
    """One cell; NaN for nothing, None for something that is no number."""
    if cell.strip().lower() in MISSING:
        return float("nan")
    text = re.sub(r"[\s'’]", "", cell).replace("−", "-")
    if not _WRITTEN[decimal].fullmatch(text):
        return None
    thousands = "," if decimal == "." else "."
    return float(text.replace(thousands, "").replace(decimal, "."))


def _all_strange(column: "pd.Series") -> Numbers:
    strange = column.notna().to_numpy(dtype=bool)
    return _finite(np.full(strange.shape, np.nan), strange, column)


def _finite(values: Array, strange: NDArray[np.bool_], column: "pd.Series") -> Numbers:
    infinite = np.isinf(values)
    strange = strange | infinite
    example = str(column.iloc[int(np.flatnonzero(strange)[0])]) if strange.any() else ""
    return Numbers(np.where(infinite, np.nan, values), strange, example)

"""Files as tables: CSV in the dialects of the world, Parquet, Arrow, Excel."""

# what pandas says of its own types is too wide to check against
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

import csv
import io
import itertools
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from digital_twin.cli.meter_files.guesses import Notes
from digital_twin.cli.meter_files.numbers_in_text import MISSING, decimal_sign
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.meter_files.table_header import header_row
from digital_twin.domain.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 2_000
_ARROW_FILE = b"ARROW1"
_DELIMITERS = (";", "\t", "|", ",")


def read_table(path: Path, options: ImportOptions, notes: Notes) -> "tuple[pd.DataFrame, str]":
    """The table of a file, CSV as text, and its decimal sign.

    Raises:
        InvalidInput: no such file, an unknown format, or nothing in it.
    """
    import pandas as pd

    if not path.is_file():
        raise InvalidInput(f"there is no file {path}", field="file")
    if path.stat().st_size == 0:
        raise InvalidInput(f"{path.name} is empty", field="file")
    try:
        table, decimal = _read(path, options, notes)
    except (ValueError, OSError, zipfile.BadZipFile, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(f"{path.name} cannot be read: {reason}", field="file") from error
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    table.columns = [str(column).strip() for column in table.columns]
    if table.shape[0] < 2 or table.shape[1] < 2:
        raise InvalidInput(f"{path.name} holds no readings: it needs a time column, values and two rows", field="file")
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise InvalidInput(f"two columns are called {twice[0]!r}; which is which?", field="file")
    return table, decimal


def _read(path: Path, options: ImportOptions, notes: Notes) -> "tuple[pd.DataFrame, str]":
    import pandas as pd

    suffix = path.suffix.lower()
    decimal: str = options.decimal or "."
    if suffix in (".csv", ".txt", ".tsv"):
        return _read_csv(path, options, notes)
    if suffix in (".parquet", ".pq"):
        return pd.read_parquet(path), decimal
    if suffix in (".arrow", ".feather"):
        return _read_arrow(path), decimal
    if suffix in (".xlsx", ".xlsm"):
        return _read_excel(path, options, notes), decimal
    allowed = ".csv, .parquet, .arrow or .xlsx"
    raise InvalidInput(f"the file must be {allowed}, got {suffix or 'no ending'}", field="file")


def _read_arrow(path: Path) -> "pd.DataFrame":
    """A file or a stream: both are called so."""
    import pyarrow as pa
    import pyarrow.ipc as ipc

    with pa.memory_map(str(path)) as source:
        is_file = source.read(len(_ARROW_FILE)) == _ARROW_FILE
        source.seek(0)
        with ipc.open_file(source) if is_file else ipc.open_stream(source) as reader:
            return reader.read_pandas()


def _read_excel(path: Path, options: ImportOptions, notes: Notes) -> "pd.DataFrame":
    import pandas as pd

    with pd.ExcelFile(path) as book:
        names = [str(name) for name in book.sheet_names]
        raw = pd.read_excel(book, sheet_name=options.sheet or 0, header=None)
    if options.sheet is None and len(names) > 1:
        notes.guess("sheet", names[0], f"it is the first of {len(names)}")
    raw = raw.dropna(how="all").dropna(how="all", axis=1)
    if raw.empty:
        return raw
    sample = raw.head(SAMPLE_ROWS).astype("str").where(raw.notna(), "")
    header = header_row(sample.to_numpy().tolist())
    table = raw.iloc[header + 1 :].reset_index(drop=True)
    table.columns = ["" if value != value else str(value) for value in raw.iloc[header]]
    return table.infer_objects()


def _read_csv(path: Path, options: ImportOptions, notes: Notes) -> "tuple[pd.DataFrame, str]":
    import pandas as pd

    text = _decode(path.read_bytes(), notes)
    delimiter = options.delimiter or _delimiter(list(itertools.islice(io.StringIO(text), SAMPLE_ROWS)))
    rows, lines = _sample(text, delimiter)
    if not rows:
        return pd.DataFrame(), "."
    header = header_row(rows)
    names = _padded_names(rows[header], rows[header + 1 :])
    decimal: str = options.decimal or decimal_sign(cell for row in rows[header + 1 :] for cell in row)
    if options.delimiter is None:
        notes.guess("delimiter", "tab" if delimiter == "\t" else delimiter, "it splits the lines alike")
    if options.decimal is None and decimal == ",":
        notes.guess("decimal", ",", "numbers are written with a comma")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # cells that would be cut off
        table = pd.read_csv(
            io.StringIO(text), sep=delimiter, skiprows=lines[header], header=None, names=range(len(names)),
            index_col=False, dtype=str, na_filter=False,
        )  # fmt: skip
    table.columns = names
    beyond = len(rows[header])
    filled = [place for place, name in enumerate(names) if name or table.iloc[:, place].str.strip().ne("").any()]
    if filled and filled[-1] >= beyond:
        raise InvalidInput(
            "rows have more cells than the header has names; is the delimiter also the decimal sign?", field="delimiter"
        )
    return table.iloc[:, filled], decimal


def _sample(text: str, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """The first rows, and how many lines the file has up to the end of each."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in itertools.islice(reader, SAMPLE_ROWS):
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num} of the CSV cannot be read: {error}", field="file") from error
    return rows, lines


def _padded_names(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A name for every cell, empty beyond the header."""
    width = max(len(header), *(len(row) for row in rows)) if rows else len(header)
    return [name.strip() for name in header] + [""] * (width - len(header))


def _decode(content: bytes, notes: Notes) -> str:
    encodings = ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "utf-8-sig":
            notes.guess("encoding", encoding, "the file is not UTF-8")
        return text
    raise InvalidInput("the file is neither UTF-8, UTF-16 nor Windows-1252 text", field="file")


def _delimiter(lines: list[str]) -> str:
    """The one that splits most lines; a comma only where no other does, as it may be a decimal."""
    written = [line for line in lines if line.strip().lower() not in MISSING]
    for one in _DELIMITERS[:-1]:
        if sum(one in line for line in written) >= 0.5 * len(written):
            return one
    return ","

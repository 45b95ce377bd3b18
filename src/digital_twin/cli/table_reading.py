"""Files as tables: CSV in the dialects of the world, Parquet, Excel."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from digital_twin.cli.guesses import Guess, ImportOptions
from digital_twin.domain.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

MAX_HEADER_LINES = 30
_DELIMITERS = ";,\t|"


def read_table(path: Path, options: ImportOptions) -> "tuple[pd.DataFrame, list[Guess]]":
    """The table of a file with what was guessed to read it.

    Raises:
        InvalidInput: no such file, an unknown format, or nothing in it.
    """
    import pandas as pd

    if not path.is_file():
        raise InvalidInput(f"there is no file {path}", field="file")
    suffix = path.suffix.lower()
    guesses: list[Guess] = []
    try:
        if suffix in (".parquet", ".pq"):
            table = pd.read_parquet(path)
        elif suffix in (".xlsx", ".xlsm"):
            table = _read_excel(path, options)
        elif suffix in (".csv", ".txt", ".tsv"):
            table = _read_csv(path, options, guesses)
        else:
            raise InvalidInput(f"the file must be .csv, .parquet or .xlsx, got {suffix or 'no ending'}", field="file")
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{path.name} cannot be read: {error}", field="file") from error
    if isinstance(table.index, pd.DatetimeIndex):
        table = table.reset_index()
    table.columns = [str(column).strip() for column in table.columns]
    if table.shape[0] < 2 or table.shape[1] < 2:
        raise InvalidInput(f"{path.name} holds no readings: it needs a time column, values and two rows", field="file")
    return table, guesses


def _read_excel(path: Path, options: ImportOptions) -> "pd.DataFrame":
    import pandas as pd

    raw = pd.read_excel(path, sheet_name=options.sheet or 0, header=None)
    widths = raw.notna().sum(axis=1)
    header = int((widths.iloc[:MAX_HEADER_LINES] >= max(2, widths.max() * 0.8)).idxmax())
    table = raw.iloc[header + 1 :].reset_index(drop=True)
    table.columns = [str(value) for value in raw.iloc[header]]
    return table.infer_objects()


def _read_csv(path: Path, options: ImportOptions, guesses: list[Guess]) -> "pd.DataFrame":
    import pandas as pd

    text = _decode(path.read_bytes(), guesses)
    sample = text.splitlines()[: MAX_HEADER_LINES * 4]
    delimiter = options.delimiter or _delimiter(sample)
    widths = [len(next(csv.reader([line], delimiter=delimiter), [])) for line in sample]
    if not widths:
        return pd.DataFrame()
    header = next(index for index, width in enumerate(widths) if width == max(widths))
    decimal = options.decimal or _decimal(sample[header + 1 :], delimiter)
    if options.delimiter is None:
        guesses.append(Guess("delimiter", delimiter, "it splits the lines into the most columns"))
    if options.decimal is None and decimal == ",":
        guesses.append(Guess("decimal", ",", "numbers are written with a comma"))
    thousands = {",": ".", ".": None}[decimal]
    return pd.read_csv(io.StringIO(text), sep=delimiter, skiprows=header, decimal=decimal, thousands=thousands)


def _decode(content: bytes, guesses: list[Guess]) -> str:
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "utf-8-sig":
            guesses.append(Guess("encoding", encoding, "the file is not UTF-8"))
        return text
    raise InvalidInput("the file is neither UTF-8 nor Windows-1252 text", field="file")


def _delimiter(lines: list[str]) -> str:
    """The one that splits most lines alike; a comma only where no semicolon or tab does, as it may be a decimal."""
    counts = {one: sum(line.count(one) > 0 for line in lines) for one in _DELIMITERS}
    for one in (";", "\t", "|"):
        if counts[one] >= 0.5 * len(lines):
            return one
    return ","


def _decimal(lines: list[str], delimiter: str) -> str:
    if delimiter == ",":
        return "."
    cells = [cell for line in lines for cell in line.split(delimiter)]
    commas = sum(cell.count(",") == 1 and cell.replace(",", "").strip(' "-').isdigit() for cell in cells)
    points = sum(cell.count(".") == 1 and cell.replace(".", "").strip(' "-').isdigit() for cell in cells)
    return "," if commas > points else "."

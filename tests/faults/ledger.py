"""What was meant to be stored and what was acknowledged: on the disk before anything else happens."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

SLOTS = 96
FIRST_DAY = datetime(2016, 1, 1, tzinfo=UTC)
SERIES = "load_kw"

Values = NDArray[np.float32]
Way = Literal["columns", "csv", "arrow", "run", "once", "cut", "message"]
"""How a batch travels. As columns, CSV, Arrow or a Run it is sent until it is acknowledged; `once` it is sent as
columns and given up when there is no answer; `cut` its upload ends in the middle, so that nothing of it may ever be
there. As messages it goes to a broker, which acknowledges it without a receipt."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One day of consecutive members; NaN where it says nothing."""

    key: str
    way: Way
    day: int
    first_member: int
    values: Values  # (M, 96)

    @property
    def size(self) -> int:
        return int(np.isfinite(self.values).sum())

    @property
    def members(self) -> range:
        return range(self.first_member, self.first_member + len(self.values))


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The answer to a batch; times are those of the machine's monotonic clock."""

    key: str
    receipt: dict[str, Any] | None
    sent_at: float  # the attempt that was answered
    answered_at: float
    attempts: int
    longest_wait_s: float  # of these


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a read as of an instant gave while the faults went on."""

    as_of: str
    member: int
    day: int
    values: Values  # (96,)


Entry = Batch | Acknowledged | Seen


class Ledger:
    """A file that only grows; what was written is on the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")

    def write(self, entry: Entry) -> None:
        line = orjson.dumps({type(entry).__name__: entry}, option=orjson.OPT_SERIALIZE_NUMPY)
        self._file.write(line + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def entries(path: Path) -> Iterator[Entry]:
    """What a ledger says, in the order in which it was written."""
    kinds = {kind.__name__: kind for kind in (Batch, Acknowledged, Seen)}
    with path.open("rb") as file:
        for line in file:
            ((name, fields),) = orjson.loads(line).items()
            if "values" in fields:
                fields["values"] = np.array(fields["values"], dtype=np.float32)
            yield kinds[name](**fields)


def member_id(member: int) -> str:
    return f"home_{member}"


def midnight(day: int) -> datetime:
    return FIRST_DAY + timedelta(days=day)

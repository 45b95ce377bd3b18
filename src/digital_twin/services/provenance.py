"""Where an answer comes from, collected while it is made."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np

CODE_VERSION = version("digital-twin")


@dataclass(slots=True)
class Provenance:
    """Filled by the use case as it gathers its inputs; ends as part of the answer."""

    as_of: datetime
    assumptions: list[str] = field(default_factory=list[str])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    models: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    data_start: datetime | None = None
    data_end: datetime | None = None
    solver: str | None = None
    inputs_sha256: str | None = None

    def assume(self, *sentences: str) -> None:
        """Name priors that stand in for missing data, each once."""
        self.assumptions.extend(sentence for sentence in sentences if sentence not in self.assumptions)

    def cover(self, start: datetime | None, end: datetime | None) -> None:
        """Widen the window of data that the answer rests on."""
        if start is not None:
            self.data_start = start if self.data_start is None else min(self.data_start, start)
        if end is not None:
            self.data_end = end if self.data_end is None else max(self.data_end, end)

    def join(self, other: "Provenance") -> None:
        """Take over what another answer that this one rests on came from."""
        self.assume(*other.assumptions)
        self.models |= other.models
        self.sources |= other.sources
        self.cover(other.data_start, other.data_end)

    def fingerprint(self, inputs: Iterable[np.ndarray[Any, Any] | float | str | None]) -> None:
        """Hash the numbers that went into the computation."""
        self.inputs_sha256 = fingerprint_of(inputs)

    def to_document(self) -> dict[str, Any]:
        """As it is answered and stored."""
        return {
            "as_of": _instant(self.as_of),
            "code_version": CODE_VERSION,
            "assumptions": self.assumptions,
            "data_start": _instant(self.data_start),
            "data_end": _instant(self.data_end),
            "inputs_sha256": self.inputs_sha256,
            "solver": self.solver,
            "models": self.models,
            "sources": self.sources,
            "notes": self.notes,
        }


def fingerprint_of(inputs: Iterable[np.ndarray[Any, Any] | float | str | None]) -> str:
    """The hash of numbers, in hexadecimal digits."""
    digest = hashlib.sha256()
    for part in inputs:
        digest.update(np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        digest.update(b"\x1f")
    return digest.hexdigest()


def _instant(value: datetime | None) -> str | None:
    return None if value is None else instant_text(value)


def instant_text(value: datetime) -> str:
    """RFC 3339 in UTC."""
    return value.isoformat().replace("+00:00", "Z")

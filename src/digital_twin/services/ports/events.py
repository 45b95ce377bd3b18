"""What happens in a community, told live."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; its document names it, and what it holds is asked for by the reader's own right."""

    event_id: int
    kind: str
    at: datetime
    document: dict[str, Any]


class Events(Protocol):
    """Events of the community that the transaction entered, kept for a day."""

    async def add(self, kind: str, document: dict[str, Any]) -> None:
        """Tell it when the transaction commits."""
        ...

    async def after(self, event_id: int, *, limit: int) -> list[Event]:
        """Those that came later, oldest first."""
        ...

    async def latest_id(self) -> int:
        """The number of the newest one, 0 where there is none."""
        ...


class Listening(Protocol):
    """An ear on one community."""

    async def wait(self, timeout_s: float) -> None:
        """Until something may have happened since the last wait ended, or the time is over."""
        ...


class EventFeed(Protocol):
    """Says that something has happened, not what."""

    def listen(self, community_id: str) -> AbstractContextManager[Listening]: ...

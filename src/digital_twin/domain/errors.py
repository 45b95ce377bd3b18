"""Everything that can go wrong in the language of the domain.

TwinError
├── InvalidInput       a value breaks a rule
├── NotFound           no such thing, or not visible to the one who asks
├── Conflict           already there, or changed meanwhile
├── NotAllowed         known, but without the right
├── InsufficientData   more data are needed than there are
├── Infeasible         no plan respects the limits, which are named
└── Unavailable        something outside did not answer in time; may be tried again

The three faces (HTTP problem, worker, CLI exit code) translate this tree; nothing here knows them.
"""

from typing import Any, ClassVar


class TwinError(Exception):
    """What is wrong, the value and what is allowed in one sentence, with machine-readable `facts`."""

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the facts, so that an error crosses a process boundary whole."""
        return _rebuild, (type(self), self.message, self.facts)


def _rebuild(cls: type[TwinError], message: str, facts: dict[str, Any]) -> TwinError:
    return cls(message, **facts)


class InvalidInput(TwinError):
    """A value breaks a rule; `field` names it as a path such as `tariff.import.per_kwh`."""

    kind = "invalid-input"


class NotFound(TwinError):
    """No such thing, or not visible to the one who asks: the two look alike on purpose."""

    kind = "not-found"


class Conflict(TwinError):
    """The thing exists already or was changed meanwhile."""

    kind = "conflict"


class NotAllowed(TwinError):
    """The one who asks is known but lacks the right."""

    kind = "not-allowed"


class InsufficientData(TwinError):
    """More data are needed; the facts say how much was needed and found."""

    kind = "insufficient-data"


class Infeasible(TwinError):
    """No plan respects every limit; `limits` names those in the way and what relaxing each would take."""

    kind = "infeasible"


class Unavailable(TwinError):
    """Something outside did not answer in time; `retry_after_s` says when to try again."""

    kind = "unavailable"

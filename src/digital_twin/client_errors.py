"""The API's problem documents as the domain's errors."""

from collections.abc import Mapping
from typing import Any

from digital_twin.domain import errors

NOT_SIGNED_IN = "not-signed-in"
TOO_MANY_REQUESTS = "too-many-requests"


class SignInNeeded(errors.NotAllowed):
    """The API does not know who asks."""

    kind = NOT_SIGNED_IN


_KINDS: tuple[type[errors.TwinError], ...] = (
    errors.InvalidInput,
    errors.NotFound,
    errors.Conflict,
    errors.NotAllowed,
    errors.InsufficientData,
    errors.Infeasible,
    errors.Unavailable,
    SignInNeeded,
)
_ERRORS: dict[str, type[errors.TwinError]] = {cls.kind: cls for cls in _KINDS}
_ERRORS[TOO_MANY_REQUESTS] = errors.Unavailable
_BY_STATUS: dict[int, type[errors.TwinError]] = {
    401: SignInNeeded,
    403: errors.NotAllowed,
    404: errors.NotFound,
    409: errors.Conflict,
    412: errors.Conflict,
    422: errors.InvalidInput,
}
_STANDARD_MEMBERS = ("type", "title", "status", "detail", "message", "self")
"""Of a problem document; the last two are no fact's name here."""


def error_class(status: int) -> type[errors.TwinError]:
    """What an answer of this status stands for when its problem is of no known kind."""
    return _BY_STATUS.get(status, errors.Unavailable)


def error_of(problem: Mapping[str, Any], fallback: type[errors.TwinError]) -> errors.TwinError:
    """The domain's error that the problem document stands for."""
    kind = str(problem.get("type", "")).rpartition("/")[2]
    facts = {name: value for name, value in problem.items() if name not in _STANDARD_MEMBERS}
    return _ERRORS.get(kind, fallback)(str(problem["detail"]), **facts)

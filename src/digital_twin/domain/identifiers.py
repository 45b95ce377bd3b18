"""Names that travel in URLs, files and SQL."""

import re

from digital_twin.domain.errors import InvalidInput

IDENTIFIER_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
SERIES_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"

_IDENTIFIER = re.compile(IDENTIFIER_PATTERN.removesuffix("$") + r"\Z")
_SERIES_NAME = re.compile(SERIES_NAME_PATTERN.removesuffix("$") + r"\Z")


def is_identifier(value: str) -> bool:
    """Whether the value is 1 to 64 letters, digits, `_` or `-`."""
    return _IDENTIFIER.match(value) is not None


def check_identifier(value: str, field: str) -> None:
    """Raises InvalidInput unless the value is an identifier."""
    if not is_identifier(value):
        raise InvalidInput(f"{field} must be 1 to 64 letters, digits, _ or -", field=field)


def check_series_name(value: str, field: str = "name") -> None:
    """Raises InvalidInput unless the value is a lower-case word of at most 64 characters."""
    if not _SERIES_NAME.match(value):
        raise InvalidInput(f"{field} must be a lower-case name such as load_kw, at most 64 characters", field=field)

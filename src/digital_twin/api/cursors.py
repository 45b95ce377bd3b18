"""Opaque cursors: where the next page begins, sealed so that nobody builds on their inside."""

import base64
import binascii

from digital_twin.domain.errors import InvalidInput


def to_cursor(position: str) -> str:
    """The cursor that continues after this position."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def from_cursor(cursor: str | None) -> str | None:
    """The position a cursor continues after.

    Raises:
        InvalidInput: it is none of ours.
    """
    if cursor is None:
        return None
    try:
        position = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("cursor must be the `next` of an earlier page", field="cursor") from error
    if "\x00" in position:
        raise InvalidInput("cursor must be the `next` of an earlier page", field="cursor")
    return position


def from_numbered_cursor(cursor: str | None) -> int:
    """The number of the first entry of a page that is counted from the front, 0 without a cursor.

    Raises:
        InvalidInput: it is none of ours.
    """
    position = from_cursor(cursor) or "0"
    if not (position.isascii() and position.isdigit()):
        raise InvalidInput("cursor must be the `next` of an earlier page", field="cursor")
    return int(position)

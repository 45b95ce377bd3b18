"""Which of several media types an Accept header likes best (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence


def preferred(accept: str | None, offered: Sequence[str]) -> str | None:
    """The offer of the highest quality, among equals the first; None when none will do.

    The most specific range that matches an offer decides on it: `text/csv;q=0, */*` is anything but CSV.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    best = max(offered, key=lambda offer: _quality(offer, ranges))
    return best if _quality(best, ranges) > 0 else None


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
    return name, _number(quality)


def _number(text: str) -> float:
    """A weight; what is none counts as 1, as if it had been left out."""
    if not text.replace(".", "", 1).isdecimal() or not text.isascii():
        return 1.0
    return min(float(text), 1.0)


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    for name in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        matching = [quality for given, quality in ranges if given == name]
        if matching:
            return max(matching)
    return 0.0

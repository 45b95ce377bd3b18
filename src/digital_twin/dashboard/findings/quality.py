"""What is told of a community's meters, in sentences."""

from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import listed

REASONS = {
    "told": "its source does not believe it",
    "stuck": "shows one value for too long",
    "zeros": "shows nothing but 0",
    "spike": "single values stand out",
    "unit": "watts came as kilowatts",
}


def meters_finding(meters: Document, hours: int) -> str:
    """How many meters have reported, are silent, and hard to believe."""
    count, silent, suspect = meters["count"], meters["silent"], meters["suspect"]
    if not silent and not suspect:
        return f"{_meters(count)} reported in the last {hours} hours, and nothing in it is hard to believe."
    troubles: list[str] = []
    if silent:
        troubles.append(f"{silent} {_is(silent)} silent")
    if suspect:
        troubles.append(f"{suspect} {_is(suspect)} hard to believe")
    return f"Of {count} meters {listed(troubles)} in the last {hours} hours."


def reasons_sentence(meter: Document) -> str:
    """Why readings of a meter are hard to believe; nothing where none is."""
    return listed([REASONS[reason] for reason in meter["reasons"]]) if meter["reasons"] else ""


def _meters(count: int) -> str:
    return "The only meter" if count == 1 else f"All {count} meters"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"

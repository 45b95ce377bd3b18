"""What is told of the meters that the twin misses or mistrusts, in sentences."""

from digital_twin.dashboard.charts.states import SURE
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import is_known, listed, quantity

ORDER = ("silent", "stuck", "refused", "dead")


def conditions_finding(meters: Document) -> str:
    """How many meters are in which trouble now."""
    counts = meters["counts"]
    total = sum(counts.values())
    troubled = [f"{counts[word]} {_is(counts[word])} {word}" for word in ORDER if counts.get(word)]
    if not troubled:
        return "Every meter tells of the last interval." if total > 1 else "The only meter tells of the last interval."
    return f"Of {total} meters {listed(troubled)} now."


def help_sentence(meters: Document) -> str | None:
    """Which silent meter would make the twin surest, and by how much; None where none would."""
    first = next(iter(meters["meters"]), None)
    fall = None if first is None else first["sd_fall_kw"]
    if first is None or not is_known(fall) or fall <= 0:
        return None
    narrower = quantity(SURE * fall, "kW")
    return (
        f"{first['member_id']} would help most: with its readings the band of demand would be about {narrower} "
        "narrower on either side."
    )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"

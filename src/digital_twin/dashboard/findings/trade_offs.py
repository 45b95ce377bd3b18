"""What a trade-off says, in a sentence."""

from digital_twin.dashboard.charts.trade_offs import AIMS
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import money, quantity


def trade_off_finding(found: Document, currency: str) -> str:
    """What the way from the cheapest plan to the other end saves and costs."""
    points = found["points"]
    name, _ = AIMS[found["against"]]
    unit = found["unit"]
    first, last = points[0], points[-1]
    if len(points) == 1:
        return f"The cheapest plan is also the best in this aim: {quantity(first['measure'], unit)}."
    return (
        f"{name} can fall from {quantity(first['measure'], unit)} to {quantity(last['measure'], unit)}, which costs "
        f"{money(last['cost'] - first['cost'], currency)} more; {half_way(found, currency)}."
    )


def half_way(found: Document, currency: str) -> str:
    """What the first half of what can be gained costs."""
    points = found["points"]
    first, last = points[0], points[-1]
    middle = (first["measure"] + last["measure"]) / 2
    nearest = min(points, key=lambda point: abs(point["measure"] - middle))
    share = (first["measure"] - nearest["measure"]) / (first["measure"] - last["measure"])
    return f"{share:.0%} of that is to be had for {money(nearest['cost'] - first['cost'], currency)}"

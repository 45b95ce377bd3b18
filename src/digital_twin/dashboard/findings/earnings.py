"""What the storage has earned, in sentences."""

from digital_twin.dashboard.findings.schedules import BASELINES, difference
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import is_known, percent

MOST_OF_THE_TIME = 0.99


def earnings_finding(kpis: Document, currency: str) -> str:
    """What the storage saved, and how much of what it could have."""
    rule, idle = (kpis["savings"]["baselines"][name] for name in ("self_consumption_rule", "idle"))
    parts = [f"The community paid {difference(idle['saved'], BASELINES['idle'], currency)}"]
    if is_known(idle["value_captured"]):
        parts.append(f", {percent(idle['value_captured'])} of what the best possible plan would have saved")
    parts.append(f"; {difference(rule['saved'], BASELINES['self_consumption_rule'], currency)}.")
    if kpis["known"] < MOST_OF_THE_TIME:
        parts.append(f" Readings tell of {percent(kpis['known'])} of the time.")
    return "".join(parts)

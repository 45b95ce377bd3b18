"""What is told of load patterns, in sentences."""

from datetime import date

from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import listed, percent, quantity

DEVICES = {"heat_pump": "heat pump", "ev": "EV", "pv": "PV"}
FIRM = 0.7
"""Adjusted Rand index from which on groups are found again."""


def groups_finding(groups: Document, counted: str) -> str:
    """Which groups there are, and how firm they are."""
    found = groups["groups"]
    if not found:
        return f"No {counted} have enough readings with few gaps yet."
    if len(found) == 1:
        return f"All {found[0]['count']} {counted} are much alike: {found[0]['name']}."
    told = listed([f"{one['name']} ({one['count']})" for one in found])
    return f"{len(found)} kinds of {counted}: {told}.{_firmness(groups['stability'], counted)}"


def _firmness(stability: float | None, counted: str) -> str:
    """Whether the same groups are found again in part of the homes or days."""
    if stability is None:
        return ""
    told = "They are firm" if stability >= FIRM else "They pass into each other"
    return f" {told}: {percent(max(stability, 0.0))} alike when found again in part of the {counted}."


def devices_finding(members: Document) -> str:
    """How many homes seem to have what."""
    if not members["with_pattern"]:
        return "No home has enough readings with few gaps yet."
    told = listed([f"{members['expected'][name]:.0f} with {_article(name)}" for name in DEVICES])
    return f"Of {members['with_pattern']} homes with enough readings, about {told}. What is counted are probabilities."


def meter_finding(pattern: Document) -> str:
    """What one meter shows."""
    probable = [
        f"{_article(name)} ({percent(one['probability'])})"
        for name, one in pattern["devices"].items()
        if one["probability"] >= 0.5
    ]
    has = f" It seems to have {listed(probable)}." if probable else " Neither heat pump nor EV nor PV shows."
    cold = pattern["cold"]
    colder = ""
    if cold is not None and cold["kw_per_c"] > 0:
        colder = f" Below {cold['bend_c']:.0f} °C each degree asks for {quantity(cold['kw_per_c'], 'kW')} more."
    always_on = f" and {percent(pattern['base_share'])} of it always on" if pattern["mean_kw"] > 0 else ""
    typical = (
        f"Typical is {_indefinite(pattern['shape'])}, {quantity(pattern['mean_kw'], 'kW')} in the mean{always_on}."
    )
    return f"{typical}{has}{colder}"


def unusual_finding(unusual: list[Document], days: int) -> str:
    """How many days are unusual, and the farthest."""
    if not unusual:
        return f"Each of {days} days was much like others of its kind."
    day = date.fromisoformat(unusual[0]["day"])
    count = f"{len(unusual)} of {days} days {'is' if len(unusual) == 1 else 'are'} unlike others of the kind"
    return f"{count}; most of all {day:%a %d %b}: {unusual[0]['because']}."


def _article(device: str) -> str:
    return {"heat_pump": "a heat pump", "ev": "an EV", "pv": "PV"}[device]


def _indefinite(shape: str) -> str:
    article = "an" if shape[0] in "aeiou" else "a"
    return shape if shape == "night heating" else f"{article} {shape}"

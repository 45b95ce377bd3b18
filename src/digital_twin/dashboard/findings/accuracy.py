"""How good issued forecasts were, in sentences."""

from datetime import datetime, tzinfo
from typing import Any

import pandas as pd

from digital_twin.dashboard.charts.accuracy import HAPPENED, PROMISED
from digital_twin.dashboard.charts.forecasts import quantile_column
from digital_twin.dashboard.clock import local_hour, local_text, parsed
from digital_twin.dashboard.frames import WHEN, Document
from digital_twin.dashboard.wording import is_known, listed, number, percent, spoken

LOW, HIGH = quantile_column("0.05"), quantile_column("0.95")
EVEN = 0.005
"""Skill this near to 0 is neither better nor worse."""

TOLERANCE, FEW_DAYS = 0.05, 7
"""Intervals that hold within this of what they promise are as sure as they say; of fewer days it may be chance."""


def first_issue_sentence(midnight: datetime, zone: tzinfo) -> str:
    """Of a community that no forecast was issued for yet: when the first comes."""
    return (
        "Nothing to look back on yet: each midnight the forecast of the day is kept, to be held against what happens. "
        f"The first comes on {local_hour(midnight, zone)}, if readings have come by then."
    )


def issued_finding(frame: pd.DataFrame, variable: str) -> str:
    """How often what happened left the 90 % band, and where it was farthest from it."""
    if frame.empty:
        return f"No forecast of {spoken(variable)} was issued in these days."
    known = frame.dropna(subset=[HAPPENED, LOW, HIGH])
    if known.empty:
        return f"What {spoken(variable)} came to is not known yet; the bands are what was expected (50 and 90 % sure)."
    beyond = pd.concat([known[HAPPENED] - known[HIGH], known[LOW] - known[HAPPENED]], axis=1).max(axis=1)
    outside = beyond > 0
    if not outside.any():
        return "What happened (black) never left the band that was 90 % sure (light; dark: 50 %)."
    far: Any = known.loc[beyond.idxmax()]
    return (
        "What happened (black) was outside the band that was 90 % sure (light; dark: 50 %) "
        f"{percent(float(outside.mean()))} of the time, farthest on {far[WHEN]}: "
        f"{number(far[HAPPENED])} kW, where {number(far[LOW])} to {number(far[HIGH])} kW were expected."
    )


def skill_finding(accuracy: Document, variable: str, days: int) -> str:
    """What forecasts lost against the seasonal naive over the last so many days, and on how many they were better."""
    skill = accuracy["skill"]
    judged = [one for one in accuracy["by_day"]["skill"] if is_known(one)]
    if not is_known(skill) or not judged:
        waiting = (
            "there was no seasonal naive beside them, which needs a week of readings"
            if accuracy["days"]
            else "a day counts once it is over and nine tenths of its readings are known"
        )
        return f"How good forecasts of {spoken(variable)} were cannot be told yet: {waiting}."
    over = f"the last {days} days" if len(judged) >= days else _counted(len(judged))
    rival = "the seasonal naive, which expects the week before again"
    if abs(skill) < EVEN:
        told = f"were no better and no worse than {rival}"
    else:
        told = f"lost {percent(abs(skill))} {'less' if skill > 0 else 'more'} than {rival}"
    better = sum(one > 0 for one in judged)
    tail = "" if len(judged) == 1 else f"; they were better on {better} of {len(judged)} days"
    return f"Over {over} forecasts of {spoken(variable)} {told}{tail}."


def _counted(days: int) -> str:
    return "the one day that can be judged" if days == 1 else f"the {days} days that can be judged"


def calibration_finding(accuracy: Document) -> str:
    """How many values the intervals held, and whether that is what they promise."""
    gaps = {promised: accuracy[name] - promised for name, promised in PROMISED.items() if is_known(accuracy[name])}
    if not gaps:
        return "How well intervals hold cannot be told yet."
    (first, gap), *others = gaps.items()
    held = listed(
        [
            f"The {percent(first)} interval held {percent(first + gap)} of what happened",
            *(f"the {percent(promised)} interval {percent(promised + gap)}" for promised, gap in others),
        ]
    )
    worst = max(gaps.values(), key=abs)
    if round(abs(worst), 2) <= TOLERANCE:
        verdict = "they are as sure as they say"
    else:
        verdict = "they are surer than they should be" if worst < 0 else "they could be surer than they are"
    few = "one day" if accuracy["days"] == 1 else f"{accuracy['days']} days"
    chance = "" if accuracy["days"] >= FEW_DAYS else f", though {few} may be chance"
    return f"{held}: {verdict}{chance}."


def drift_sentence(drift: Document, variable: str, zone: tzinfo) -> str | None:
    """The warning that forecasts of a variable have become worse; None where they have not."""
    if not drift["is_degraded"]:
        return None
    since = "" if drift["degraded_since"] is None else f" since {local_text(parsed(drift['degraded_since']), zone)}"
    loss, before = drift["relative_loss"], drift["relative_loss_before"]
    worse = f"Forecasts of {spoken(variable)} have become worse{since}"
    if not is_known(loss) or not is_known(before):
        return f"{worse}."
    return f"{worse}: they lose {percent(loss)} of what the seasonal naive loses; before it was {percent(before)}."

"""What a plan for members says, in sentences."""

from datetime import tzinfo

import pandas as pd

from digital_twin.dashboard.findings.forecasts import at
from digital_twin.dashboard.frames import TIME, Document
from digital_twin.dashboard.wording import money, quantity


def activity_finding(frame: pd.DataFrame, members: int, zone: tzinfo) -> str:
    """When most charge."""
    charging = frame["charging_members"].to_numpy()
    if not charging.any():
        return "Nobody charges."
    most = int(charging.argmax())
    when = at(float(frame[TIME].to_numpy()[most]), zone)
    return f"Most charge at once on {when}: {charging[most]:,.0f} of {members:,} members."


def connection_finding(plan: Document) -> str:
    """The highest import beside that under everyone's own rule."""
    rule_peak = max(plan["rule_import_kw"], default=0.0)
    words = f"The community imports at most {quantity(plan['peak_kw'], 'kW')}"
    return f"{words}; with everyone by their own rule it would be {quantity(rule_peak, 'kW')}."


def savings_sentence(plan: Document, currency: str) -> str:
    """What all save, and how it spreads."""
    savings, fairness = plan["savings"], plan["fairness"]
    worse, spread = fairness["worse_off_members"], fairness["saved_quantiles"]
    words = (
        f"All together save {money(savings['saved'], currency)} against everyone's own self-consumption rule; "
        f"half of the members save more than {money(spread['0.5'], currency)}"
    )
    if not worse:
        return f"{words}, and nobody pays more."
    return f"{words}, and {worse:,} of {plan['members']:,} pay more, at most {money(-spread['0'], currency)}."


def certificate_sentence(plan: Document) -> str:
    """How near the plan is to the best."""
    return f"Checked independently: no plan costs less than this one by more than {100 * plan['gap']:.3f} %."


def own_finding(plan: Document, currency: str) -> str:
    """What one member pays and saves."""
    saved = plan["saved"]
    if saved >= 0:
        compared = f"which is {money(saved, currency)} less than by its own rule"
    else:
        compared = f"which is {money(-saved, currency)} more than by its own rule"
    return f"The day costs this member {money(plan['cost'], currency)}, {compared}."

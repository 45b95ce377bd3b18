"""What scenarios say, in sentences."""

from digital_twin.dashboard.charts.scenarios import AS_IS, TODAY, economics_of, ranking_frame, scenarios_of, title_of
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import is_known, listed, money, number, percent

SURE = 0.95


def span_of(result: Document) -> str:
    """How long a simulated time is, inside a sentence."""
    days = scenarios_of(result)[0].get("simulation_duration_days")
    return "a year" if days in (365, 366) else f"{days} days"


def comparison_finding(result: Document, currency: str) -> str:
    """Which scenario is the cheapest, by how much, and how sure that is."""
    against_today = [one for one in scenarios_of(result) if one["scenario_id"] not in (AS_IS, TODAY)]
    saving = [
        (title_of(one), one["comparison"]["cost_difference"], one["comparison"]["share_cheaper"])
        for one in against_today
        if is_known(((one.get("comparison") or {}).get("cost_difference") or {}).get("mean"))
    ]
    if not saving:
        return "There is no scenario to compare with today."
    title, difference, share = min(saving, key=lambda one: one[1]["mean"])
    if difference["mean"] >= 0:
        more = money(difference["mean"], currency)
        return f"None saves: even {title} costs {more} more than today in {span_of(result)}."
    saved, low, high = (money(-difference[name], currency) for name in ("mean", "high", "low"))
    return (
        f"{title} saves most: {saved} in {span_of(result)} against today (95 % sure: {low} to {high}), "
        f"and is cheaper in {percent(share)} of the years."
    )


def ranking_finding(result: Document) -> str:
    """How firm the first place is."""
    frame = ranking_frame(result)
    if len(frame) < 2:
        return "There is nothing to rank."
    first, second = str(frame["scenario"].iloc[0]), str(frame["scenario"].iloc[1])
    confidence = float(frame["confidence"].iloc[0])
    if not is_known(confidence):
        return f"{first} stands first."
    how = "firmly" if confidence >= SURE else "but only just"
    return f"{first} stands {how} before {second}: {percent(confidence)} sure to cost less in the mean."


def economics_finding(result: Document, currency: str) -> str:
    """Whether investments pay back."""
    parts: list[str] = []
    for title, economics in economics_of(result):
        worth = (economics.get("net_present_value") or {}).get("mean")
        payback = economics.get("payback_years")
        back = f"pays back after {number(payback)} years" if is_known(payback) else "does not pay back in its lifetime"
        parts.append(f"{title} {back} and is worth {money(worth, currency)} today")
    return f"{listed(parts)}." if parts else "No scenario invests."


def members_sentences(result: Document, currency: str) -> list[str]:
    """Winners and losers of each scenario, where members have meters of their own."""
    sentences: list[str] = []
    for one in scenarios_of(result):
        told: Document | None = one.get("members")
        if not told or one["scenario_id"] in (AS_IS, TODAY):
            continue
        groups: list[Document] = told.get("groups") or []
        ends = ""
        if groups:
            least, most = (money(groups[place]["mean_saved"], currency) for place in (0, -1))
            ends = f"; the group that gains least saves {least} a home, the one that gains most {most}"
        sentences.append(
            f"{title_of(one)}: {told['better_off']} homes better off, {told['worse_off']} worse off{ends}."
        )
    return sentences


def effort_sentence(result: Document) -> str:
    """How many times it was simulated, and how exactly the cost is known."""
    first = scenarios_of(result)[0]
    sure = f", the mean cost is known to {percent(first.get('precision'))}" if is_known(first.get("precision")) else ""
    return f"Simulated {first.get('runs')} times over {span_of(result)} with seed {first.get('seed')}{sure}."

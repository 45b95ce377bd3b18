"""What backtests say, in sentences."""

from digital_twin.dashboard.charts.backtests import PROMISED, YARDSTICK, coverage_frame, ranked
from digital_twin.dashboard.findings.accuracy import TOLERANCE
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import is_known, listed, name_of, number, percent, spoken


def skill_finding(told: Document) -> str:
    """Which model was the best, by how much, and how sure that is."""
    best = ranked(told)[0]
    one, ratio = told["models"][best], told["models"][best]["naive_ratio"]
    if not is_known(one["pinball_loss_kw"]):
        return "None of these days has readings and forecasts to compare."
    if best == YARDSTICK:
        return "No model lost less than the seasonal naive."
    if ratio is None:
        return f"{name_of(best)} lost least, {number(one['pinball_loss_kw'])} kW; too few days to compare."
    days = "one day" if one["days"] == 1 else f"{one['days']} days"
    sure = f"95 % sure: {percent(1 - ratio['high'])} to {percent(1 - ratio['low'])}"
    verdict = "" if ratio["high"] < 1 else ", so it may be chance"
    return (
        f"{name_of(best)} did best: over {days} it lost {percent(1 - ratio['value'])} less than the seasonal naive "
        f"({sure}){verdict}."
    )


def coverage_finding(told: Document) -> str:
    """Which models' intervals hold as often as they say."""
    frame = coverage_frame(told)
    if frame.empty:
        return "How often intervals held is not known."
    gaps = (frame["held"] - frame["promised"]).groupby(frame["model"], sort=False)
    worst = {str(name): float(gap.loc[gap.abs().idxmax()]) for name, gap in gaps}
    kinds = {
        "as sure as they say": [name for name, gap in worst.items() if abs(gap) <= TOLERANCE],
        "surer than they should be": [name for name, gap in worst.items() if gap < -TOLERANCE],
        "less sure than they could be": [name for name, gap in worst.items() if gap > TOLERANCE],
    }
    told_of = [f"of {listed([spoken(one) for one in names])} are {kind}" for kind, names in kinds.items() if names]
    promised = listed([percent(one) for one in PROMISED.values()])
    return f"Strokes are what is promised ({promised}). The intervals {'; those '.join(told_of)}."


def lead_finding(told: Document) -> str:
    """When the best model lost most and least."""
    best = ranked(told)[0]
    losses = {hour: loss for hour, loss in enumerate(told["by_hour"][best]) if is_known(loss)}
    if not losses:
        return "What was lost at which hour is not known."
    most, least = max(losses, key=losses.__getitem__), min(losses, key=losses.__getitem__)
    return (
        f"Models are asked at midnight, so that hours ahead are hours of the day. {name_of(best)} loses most "
        f"{most} hours ahead ({number(losses[most])} kW) and least {least} hours ahead ({number(losses[least])} kW)."
    )


def not_asked_sentence(variable: str) -> str:
    """Of a backtest of other variables."""
    return f"This backtest was not asked about {spoken(variable)}."

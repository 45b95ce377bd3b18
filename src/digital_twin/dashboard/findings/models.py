"""What is told of forecasting models, in sentences."""

from collections.abc import Mapping, Sequence
from datetime import date, tzinfo

import numpy as np
import pandas as pd

from digital_twin.dashboard.charts.models import days_of, heaviest_first, saved
from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.findings.forecasts import answers, at
from digital_twin.dashboard.frames import TIME, Document
from digital_twin.dashboard.wording import is_known, listed, name_of, number, percent, quantity, spoken

AUTO = "auto"
EVEN = 0.005
"""A difference this near to 0 is none."""


def forecast_title(asked: str, label: str) -> str:
    """What a forecast is called beside another: the model, and whether it is the one that answers by itself."""
    names = " and ".join(name_of(one) for one in answers(label))
    return f"{names} (answers now)" if asked == AUTO else names


def is_trained(label: str) -> bool:
    """Whether the forecast was made by a model trained before."""
    return ", trained version " in label


def answer_finding(label: str, variable: str, versions: Sequence[Document], zone: tzinfo) -> str:
    """Which model forecasts a variable, and why it does."""
    names = [name_of(one) for one in answers(label)]
    if len(names) > 1:
        parts = "demand less PV" if variable == "net_load_kw" else "net demand and PV"
        return f"{name_of(variable)} follows from the forecasts of {parts}, which are made by {listed(names)}."
    version = next((one for one in versions if one["model"] == answers(label)[0]), None)
    if not is_trained(label) or version is None:
        return (
            f"{name_of(variable)} is forecast by the model {names[0]}, fitted anew whenever it is asked: "
            "no trained model suits what is known now."
        )
    trained, days = local_text(parsed(version["trained_at"]), zone), days_of(version)
    return (
        f"{name_of(variable)} is forecast by the model {names[0]}, trained on {trained} from {days} days of readings. "
        f"{held_out_sentence(version)}"
    )


def held_out_finding(versions: Sequence[Document]) -> str:
    """What each trained model lost on the held-out days, and what that is."""
    losses = [f"{name_of(one['model'])} {number(one['scores']['model']['pinball_loss_kw'])} kW" for one in versions]
    return (
        f"The pinball loss, which grows with errors and with intervals wider than they need be: {listed(losses)}. "
        "Under each the seasonal naive's, which expects the week before again."
    )


def held_out_sentence(version: Document) -> str:
    """How a version did on the days that it had not seen."""
    scores = version["scores"]
    share = saved(version)
    days = "the last day" if scores["days"] == 1 else f"the last {scores['days']} days"
    if share is None:
        told = "nothing was lost by anybody"
    elif abs(share) < EVEN:
        told = "it was as good as the seasonal naive"
    else:
        told = f"it lost {percent(abs(share))} {'less' if share > 0 else 'more'} than the seasonal naive"
    held = scores["model"]["coverage_90"]
    tail = f", and its 90 % interval held {percent(held)}" if is_known(held) else ""
    return f"On {days} before, which it was not shown, {told}{tail}."


def drift_finding(drift: Document | None) -> str:
    """How forecasts fare in service."""
    if drift is None or not drift["days"] or not is_known(drift["relative_loss"]):
        return "How forecasts fare in service is told here once the first days with an issued forecast are over."
    days = "one day" if drift["days"] == 1 else f"{drift['days']} days"
    evidence, needed = number(drift["evidence"]), number(drift["evidence_needed"])
    return (
        f"In service forecasts lost {percent(drift['relative_loss'])} of what the seasonal naive loses, over {days}; "
        f"they have not become worse (evidence {evidence}, an alert comes at {needed})."
    )


def ensemble_finding(ensemble: Document) -> str:
    """Which members weigh most, and which was the best alone."""
    first, *others = heaviest_first(ensemble)
    days = "one day" if ensemble["days"] == 1 else f"{ensemble['days']} days"
    latest = f"{date.fromisoformat(ensemble['last_day']):%a %d %b}"
    told = f"{name_of(first['model'])} weighs most, {percent(first['weight_mean'])} in the mean"
    if others:
        shares = [f"{spoken(one['model'])} ({percent(one['weight_mean'])})" for one in others]
        told += f"; then {listed(shares)}"
    losses = {one["model"]: one["loss_relative_to_best"] for one in ensemble["members"]}
    best = [name for name, loss in losses.items() if loss == 1.0]
    behind = {name: loss for name, loss in losses.items() if is_known(loss) and loss > 1.0}
    alone = ""
    if best and behind:
        last = max(behind, key=lambda name: behind[name])
        alone = f" Alone {spoken(best[0])} lost least and {spoken(last)} most, {percent(behind[last] - 1)} more."
    return f"{told}. Weights come from losses on {days} up to {latest}, from none of which a member had learned.{alone}"


def left_out_sentence(ensemble: Document) -> str | None:
    """Which models are no members."""
    left_out: list[str] = ensemble["left_out"]
    return f"Not among them: {'; '.join(left_out)}." if left_out else None


def two_finding(frames: Mapping[str, pd.DataFrame], variable: str, hours: float, zone: tzinfo) -> str:
    """How far two forecasts of tomorrow lie from each other."""
    one, other = (frame["mean"].to_numpy(dtype=np.float64) for frame in frames.values())
    energies = [quantity(float(means.sum() * hours), "kWh") for means in (one, other)]
    told = [f"{energy} by {name}" for name, energy in zip(frames, energies, strict=True)]
    gap = np.abs(one - other)
    farthest = int(gap.argmax())
    if gap[farthest] < EVEN:
        return f"Of tomorrow's {spoken(variable)} both say the same: {energies[0]}."
    when = at(float(next(iter(frames.values()))[TIME].iloc[farthest]), zone)
    return (
        f"Tomorrow's {spoken(variable)} comes to {listed(told)}. They differ most on {when}: "
        f"{number(float(one[farthest]))} against {number(float(other[farthest]))} kW."
    )

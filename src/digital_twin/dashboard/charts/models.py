"""Trained models: what they lost on held-out days, what the members of an ensemble weigh, two forecasts together."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta, tzinfo

import altair as alt
import pandas as pd

from digital_twin.dashboard.charts.forecasts import forecast_frame
from digital_twin.dashboard.charts.marks import (
    BLUE,
    DASHED,
    SOLID,
    VERMILION,
    Picture,
    finished,
    named_scales,
    time_axis,
    tooltip,
    value_axis,
)
from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.frames import TIME, WHEN, Document, hourly, with_last_edge
from digital_twin.dashboard.wording import is_known, name_of, number, percent

ROW, PAIR_ROW, HEAD = 34, 50, 50
"""Pixels of a model's row, of one with two bars, and of the axis with its title."""

PAIR = ((BLUE, SOLID), (VERMILION, DASHED))
PAIR_OPACITY = 0.14


def newest_versions(trained: Sequence[Document], variable: str) -> list[Document]:
    """The newest version of each model that was trained for this variable."""
    newest: dict[str, Document] = {}
    for one in trained:
        if one["variable"] == variable:
            newest.setdefault(one["model"], one)
    return list(newest.values())


def saved(version: Document) -> float | None:
    """The share of the seasonal naive's loss that a version saved on the held-out days."""
    scores = version["scores"]
    naive = scores["seasonal_naive"]["pinball_loss_kw"]
    return 1 - scores["model"]["pinball_loss_kw"] / naive if naive > 0 else None


def held_out_frame(versions: Sequence[Document]) -> pd.DataFrame:
    """A row for each model and its yardstick: the loss on the held-out days."""
    rows = [
        (name_of(one["model"]), told, one["scores"][side]["pinball_loss_kw"])
        for one in versions
        for told, side in (("this model", "model"), ("seasonal naive", "seasonal_naive"))
    ]
    return pd.DataFrame(rows, columns=["model", "series", "loss"])


def held_out_chart(versions: Sequence[Document]) -> Picture:
    """Bars of the loss of each model with the seasonal naive's under it: shorter is better."""
    frame = held_out_frame(versions)
    names = ["this model", "seasonal naive"]
    colour = alt.Color(
        "series:N", scale=alt.Scale(domain=names, range=[BLUE, "#b9c7c1"]),
        legend=alt.Legend(title=None, orient="top", offset=8, symbolType="square"),
    )  # fmt: skip
    bars = alt.Chart(frame).mark_bar().encode(
        y=alt.Y("model:N", title=None, sort=None, axis=_names()),
        yOffset=alt.YOffset("series:N", sort=names),
        x=alt.X("loss:Q", title="mean pinball loss, kW (shorter is better)", axis=alt.Axis(tickCount=5)),
        color=colour,
        tooltip=[
            alt.Tooltip("model:N", title="Model"), alt.Tooltip("series:N", title="Loss of"),
            alt.Tooltip("loss:Q", title="kW", format=",.3f"),
        ],
    )  # fmt: skip
    return finished(bars, height=PAIR_ROW * len(versions) + 2 * HEAD)


def versions_table(trained: Sequence[Document], variable: str, zone: tzinfo) -> pd.DataFrame:
    """Each version of the variable's models, with what it was trained on and how it did."""
    rows = [_version_row(one, zone) for one in trained if one["variable"] == variable]
    columns = [
        "Model", "Version", "Trained", "Days of readings", "Held-out days", "Loss kW", "Skill", "RMSE kW",
        "Inside 90 %", "Code", "SHA-256",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _version_row(one: Document, zone: tzinfo) -> tuple[object, ...]:
    scores = one["scores"]
    return (
        name_of(one["model"]),
        str(one["version"]),
        local_text(parsed(one["trained_at"]), zone),
        number(days_of(one)),
        str(scores["days"]),
        number(scores["model"]["pinball_loss_kw"]),
        _percent(saved(one)),
        number(scores["model"]["rmse_kw"]),
        _percent(scores["model"]["coverage_90"]),
        one["code_version"],
        one["sha256"][:12],
    )


def days_of(version: Document) -> int:
    """How many days of readings it was trained on."""
    return round((parsed(version["data_end"]) - parsed(version["data_start"])) / timedelta(days=1))


def _percent(value: float | None) -> str:
    return percent(value) if is_known(value) else ""


def registered_table(models: Sequence[Document], variable: str) -> pd.DataFrame:
    """The models that can forecast a variable."""
    rows = [
        (name_of(one["name"]), one["needs"], "yes" if one["learns"] else "", one["reference"])
        for one in models
        if variable in one["variables"]
    ]
    return pd.DataFrame(rows, columns=["Model", "Needs", "Can be trained", "Source"])


def weight_pictures(ensemble: Document) -> Iterator[tuple[str, Picture]]:
    """A small heat picture for each group of quantiles."""
    for group in ensemble["groups"]:
        yield f"{group.capitalize()} quantiles", weights_chart(ensemble, group)


def weights_chart(ensemble: Document, group: str) -> Picture:
    """Members by part of the day: the darker, the more a member weighs; the share stands in each field."""
    frame = weights_frame(ensemble, group)
    at = alt.Chart(frame).encode(
        x=alt.X("part:N", title="local hours", sort=None, axis=alt.Axis(labelAngle=0, grid=False, ticks=False)),
        y=alt.Y("model:N", title=None, sort=None, axis=_names()),
        tooltip=[
            alt.Tooltip("model:N", title="Member"), alt.Tooltip("part:N", title="Hours"),
            alt.Tooltip("weight:Q", title="Weight", format=".0%"),
        ],
    )  # fmt: skip
    shade = alt.Color("weight:Q", scale=alt.Scale(domain=[0, 1], range=["#f2f6f4", BLUE]), legend=None)
    fields = at.mark_rect(stroke="#ffffff", strokeWidth=2).encode(color=shade)
    shares = at.mark_text(fontSize=12).encode(
        text=alt.Text("weight:Q", format=".0%"),
        color=alt.condition("datum.weight > 0.55", alt.value("#ffffff"), alt.value("#1c2a26")),
    )
    return finished(fields + shares, height=ROW * len(ensemble["members"]) + HEAD)


def weights_frame(ensemble: Document, group: str) -> pd.DataFrame:
    """A row for each member and part of the day."""
    rows = [
        (name_of(member["model"]), part, member["weights"][part][group])
        for member in heaviest_first(ensemble)
        for part in ensemble["parts_of_day"]
    ]
    return pd.DataFrame(rows, columns=["model", "part", "weight"])


def heaviest_first(ensemble: Document) -> list[Document]:
    """The members by their mean weight."""
    return sorted(ensemble["members"], key=lambda one: -one["weight_mean"])


def weights_table(ensemble: Document) -> pd.DataFrame:
    """A row for each member: its mean weight, its loss beside the best, and its weight in each field."""
    rows: list[dict[str, str]] = []
    for member in heaviest_first(ensemble):
        loss = member["loss_relative_to_best"]
        row = {
            "Member": name_of(member["model"]),
            "Mean weight": percent(member["weight_mean"]),
            "Loss, best = 1": number(loss) if is_known(loss) else "",
        }
        for group in ensemble["groups"]:
            row |= {f"{group}, {part}": percent(member["weights"][part][group]) for part in ensemble["parts_of_day"]}
        rows.append(row)
    return pd.DataFrame(rows)


def two_frames(forecasts: Mapping[str, Document], variable: str, zone: tzinfo) -> dict[str, pd.DataFrame]:
    """Each forecast as a table, by its name."""
    return {name: forecast_frame(one, variable, zone) for name, one in forecasts.items()}


def two_chart(forecasts: Mapping[str, Document], variable: str, zone: tzinfo) -> Picture:
    """A line and its interval for each forecast."""
    minutes = next(iter(forecasts.values()))["resolution_minutes"]
    frames = two_frames(forecasts, variable, zone)
    frame = pd.concat(
        [with_last_edge(one, minutes).assign(series=name) for name, one in frames.items()], ignore_index=True
    )
    colour, dash = named_scales(list(frames), PAIR)
    at = alt.Chart(frame).encode(x=time_axis(frame, zone), color=colour)
    bands = at.mark_area(opacity=PAIR_OPACITY, interpolate="step-after").encode(
        y=value_axis("lower", "kW"), y2=alt.Y2("upper:Q")
    )
    lines = at.mark_line(strokeWidth=2.5, interpolate="step-after").encode(
        y=value_axis("mean", "kW"),
        strokeDash=dash,
        tooltip=[
            alt.Tooltip("series:N", title="Model"),
            *tooltip(("mean:Q", "expected kW"), ("lower:Q", "lower kW"), ("upper:Q", "upper kW")),
        ],
    )
    return finished(bands + lines)


def two_table(forecasts: Mapping[str, Document], variable: str, zone: tzinfo) -> pd.DataFrame:
    """Means of the hours beside each other."""
    frames = two_frames(forecasts, variable, zone)
    first = next(iter(frames.values()))
    means = {name: one["mean"] for name, one in frames.items()}
    both = pd.DataFrame({TIME: first[TIME], WHEN: first[WHEN], **means})
    return hourly(both, {name: f"{name}, kW" for name in means})


def _names() -> alt.Axis:
    return alt.Axis(labelLimit=130, ticks=False, grid=False)

"""What backtests came to: models against the seasonal naive, what their intervals held, and what they lost when."""

import altair as alt
import pandas as pd

from digital_twin.dashboard.charts.marks import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LINES,
    ORANGE,
    Picture,
    finished,
    named_scales,
    value_axis,
)
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import is_known, name_of, number, percent

YARDSTICK = "seasonal_naive"
PROMISED = {"coverage_80": 0.8, "coverage_90": 0.9, "coverage_95": 0.95}
HELD = (("80 %", GREEN, "circle"), ("90 %", BLUE, "square"), ("95 %", ORANGE, "triangle-up"))
LOWEST_SHOWN = 0.7

ROW, HEAD = 34, 50


def ranked(told: Document) -> list[str]:
    """The models, the one with the least loss first; those that nothing is known of last."""
    losses = {name: one["pinball_loss_kw"] for name, one in told["models"].items()}
    return sorted(losses, key=lambda name: (losses[name] is None, losses[name] or 0.0))


def skill_frame(told: Document) -> pd.DataFrame:
    """A row for each model but the yardstick: the share of the yardstick's loss that it saved, with its interval."""
    rows: list[tuple[str, float, float, float]] = []
    for name in ranked(told):
        ratio = told["models"][name]["naive_ratio"]
        if name != YARDSTICK and ratio is not None:
            rows.append((name_of(name), 1 - ratio["value"], 1 - ratio["high"], 1 - ratio["low"]))
    return pd.DataFrame(rows, columns=["model", "skill", "low", "high"])


def skill_chart(told: Document) -> Picture:
    """A dot for what a model saved and a bar where that lies with 95 % confidence; at 0 it is as good as the naive."""
    frame = skill_frame(told)
    ends = [0.0, *frame["low"], *frame["high"]]
    scale = alt.Scale(domain=[min(ends) - 0.02, max(ends) + 0.02], nice=True)
    axis = alt.Axis(format="%", tickCount=6)
    at = alt.Chart(frame).encode(
        y=alt.Y("model:N", title=None, sort=None, axis=_names()),
        tooltip=[
            alt.Tooltip("model:N", title="Model"),
            *(alt.Tooltip(f"{name}:Q", format="+.1%") for name in ("skill", "low", "high")),
        ],
    )
    x = alt.X("low:Q", title="loss saved against the seasonal naive", scale=scale, axis=axis)
    sure = at.mark_rule(color=BLUE, strokeWidth=7, opacity=0.45).encode(x=x, x2="high:Q")
    means = at.mark_point(color=BLACK, filled=True, size=80, opacity=1).encode(x=alt.X("skill:Q", scale=scale))
    zero = alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x="at:Q")
    return finished(zero + sure + means, height=ROW * max(1, len(frame)) + HEAD)


def coverage_frame(told: Document) -> pd.DataFrame:
    """A row for each model and interval: what it promised and what it held."""
    rows = [
        (name_of(name), percent(promised), promised, told["models"][name][column])
        for name in ranked(told)
        for column, promised in PROMISED.items()
        if is_known(told["models"][name][column])
    ]
    return pd.DataFrame(rows, columns=["model", "interval", "promised", "held"])


def coverage_chart(told: Document) -> Picture:
    """Dots at what intervals held, each to be on the stroke of its own colour."""
    frame = coverage_frame(told)
    lowest = min([LOWEST_SHOWN, *frame["held"]])
    scale = alt.Scale(domain=[lowest, 1.0], nice=False)
    names, colours, shapes = zip(*HELD, strict=True)
    legend = alt.Legend(title=None, orient="top", offset=8)
    colour = alt.Color("interval:N", scale=alt.Scale(domain=list(names), range=list(colours)), legend=legend)
    shape = alt.Shape("interval:N", scale=alt.Scale(domain=list(names), range=list(shapes)), legend=legend)
    at = alt.Chart(frame).encode(
        y=alt.Y("model:N", title=None, sort=None, axis=_names()),
        color=colour,
        tooltip=[
            alt.Tooltip("model:N", title="Model"), alt.Tooltip("interval:N", title="Of the"),
            alt.Tooltip("held:Q", title="held", format=".1%"),
        ],
    )  # fmt: skip
    axis = alt.Axis(format="%", tickCount=5)
    strokes = at.mark_tick(thickness=2, size=26).encode(x=alt.X("promised:Q", scale=scale, title=None, axis=axis))
    dots = at.mark_point(filled=True, size=80, opacity=1).encode(x=alt.X("held:Q", scale=scale), shape=shape)
    return finished(strokes + dots, height=ROW * max(1, len(told["models"])) + HEAD)


def lead_frame(told: Document) -> pd.DataFrame:
    """A row for each model and hour since the midnight that was asked at, and one more for the end of the last."""
    rows = [
        (name_of(name), hour, f"{hour % 24:02d}:00", loss)
        for name in ranked(told)
        for hour, loss in enumerate([*told["by_hour"][name], *told["by_hour"][name][-1:]])
        if is_known(loss)
    ]
    return pd.DataFrame(rows, columns=["series", "hour", "clock", "loss"])


def lead_chart(told: Document) -> Picture:
    """A line for each model: what it lost in the mean, by how far ahead it was asked."""
    frame = lead_frame(told)
    colour, dash = named_scales([name_of(name) for name in ranked(told)], LINES)
    axis = alt.Axis(values=[0, 6, 12, 18, 24], grid=True)
    lines = (
        alt.Chart(frame)
        .mark_line(interpolate="step-after", strokeWidth=2.5)
        .encode(
            x=alt.X("hour:Q", title="hours ahead", scale=alt.Scale(domain=[0, 24], nice=False), axis=axis),
            y=value_axis("loss", "kW"),
            color=colour,
            strokeDash=dash,
            tooltip=[
                alt.Tooltip("series:N", title="Model"), alt.Tooltip("clock:N", title="From"),
                alt.Tooltip("loss:Q", title="loss kW", format=",.3f"),
            ],
        )
    )  # fmt: skip
    return finished(lines)


def lead_table(told: Document) -> pd.DataFrame:
    """A row for each hour and a column for each model."""
    columns = {"Hours ahead": [str(hour) for hour in range(24)]}
    for name in ranked(told):
        columns[f"{name_of(name)}, kW"] = [number(one) if is_known(one) else "" for one in told["by_hour"][name]]
    return pd.DataFrame(columns)


def backtest_table(told: Document) -> pd.DataFrame:
    """A row for each model."""
    rows: list[tuple[str, ...]] = []
    for name in ranked(told):
        one = told["models"][name]
        ratio = one["naive_ratio"] or {}
        rows.append((
            name_of(name), str(one["days"]), number(one["pinball_loss_kw"]), _percent(one["relative_loss"]),
            *(_percent(one[column]) for column in PROMISED),
            *(number(ratio[side]) if ratio else "" for side in ("value", "low", "high")),
        ))  # fmt: skip
    columns = [
        "Model", "Days", "Loss kW", "Of the mean", *(f"Inside {percent(one)}" for one in PROMISED.values()),
        "x naive", "from", "to",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _percent(value: float | None) -> str:
    return percent(value) if is_known(value) else ""


def _names() -> alt.Axis:
    return alt.Axis(labelLimit=130, ticks=False, grid=True)

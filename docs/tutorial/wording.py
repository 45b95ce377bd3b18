"""Answers as the tables and words of the tutorial."""

from typing import Any

import numpy as np
import pandas as pd

Document = dict[str, Any]
MINUTES = 60
WITHIN_95 = 1.96


def hours(powers_kw: pd.DataFrame) -> pd.DataFrame:
    return powers_kw.resample(f"{MINUTES}min").mean()


def hourly(history: Document, name: str) -> Document:
    """Means over the hours; the deviation is that of one interval, as errors of one hour go together."""
    per_hour = MINUTES // history["resolution_minutes"]
    found = history["states"][name]
    means = {part: np.array(found[part], dtype=float).reshape(-1, per_hour).mean(axis=1) for part in ("mean", "sd")}
    return {**history, "resolution_minutes": MINUTES, "states": {name: means}}


def state_rows(state: Document) -> list[tuple[str, str]]:
    return [
        (
            word(name),
            f"{found['mean']:,.1f} ± {WITHIN_95 * found['sd']:,.1f} {'kWh' if name.endswith('kwh') else 'kW'}",
        )
        for name, found in state["states"].items()
    ]


WORDS = {
    "load_kw": "demand", "demand_kw": "demand", "pv_kw": "PV", "net_load_kw": "net demand",
    "storage_soc_kwh": "stored energy", "self_consumption_rule": "the plain rule", "idle": "leaving the battery idle",
}  # fmt: skip


def word(name: str) -> str:
    return WORDS[name]


def models(said: str) -> str:
    """The models' names, without when they were trained."""
    return " and ".join(f"`{one.partition(',')[0]}`" for one in said.split(" - "))


def kw(value: float) -> str:
    return f"{value:,.1f} kW"


def payback(worth: Document | None) -> str:
    if worth is None:
        return "-"
    years = worth.get("payback_years")
    return "not in its life" if years is None else f"in {years:.1f} years"


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = (columns, ("---",) * len(columns), *rows)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def quoted(said: str) -> str:
    """What a command printed."""
    return "```text\n" + "\n".join(line.rstrip() for line in said.strip().splitlines()) + "\n```"

"""What the state of a community says, in sentences."""

from collections.abc import Mapping
from datetime import timedelta, tzinfo

from digital_twin.dashboard.charts.states import IDLE_KW, SURE, Flow
from digital_twin.dashboard.clock import local_hour, parsed
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import duration, is_known, listed, number, percent, quantity, spoken

STALE_AFTER_S = 2 * 3600
TOO_SURE, TOO_CAUTIOUS = 2.0, 0.5
LEAST_HELD, MOST_HELD = 0.9, 0.99
"""A stream is lost where the 95 % band holds less or more of late truth than this."""

NARROW, WIDE = "too narrow", "wider than they need be"
FULL, NEARLY_FULL, MOST, HALF = 0.995, 0.85, 0.6, 0.4


def flow_sentence(flow: Flow) -> str:
    """Who gives and who takes now."""
    gives = [("PV", flow.pv_kw), ("the storage", flow.storage_kw or 0.0), ("the grid", flow.grid_kw)]
    sources = [f"{name} gives {quantity(power, 'kW')}" for name, power in gives if power >= IDLE_KW]
    takes = [("the storage", -(flow.storage_kw or 0.0)), ("the grid", -flow.grid_kw)]
    sinks = [f"{name} takes {quantity(power, 'kW')}" for name, power in takes if power >= IDLE_KW]
    start = f"The homes use {quantity(flow.demand_kw, 'kW')}"
    return f"{start}: {listed(sources + sinks)}." if sources or sinks else f"{start}."


def own_supply_sentence(flow: Flow) -> str:
    """How much of the demand is not from the grid now."""
    if flow.demand_kw <= 0:
        return "There is no demand now."
    if flow.grid_kw < -IDLE_KW:
        return f"The community covers itself and feeds {quantity(-flow.grid_kw, 'kW')} into the grid."
    return (
        f"{percent(min(1.0, 1 - max(flow.grid_kw, 0.0) / flow.demand_kw))} of the demand is met without the grid now."
    )


def estimate(state: Document, name: str, unit: str) -> tuple[str, str]:
    """A state's mean and its 95 % band, as text."""
    made = (state.get("states") or {}).get(name) or {}
    mean, deviation = made.get("mean"), made.get("sd")
    band = f"± {number(round(SURE * deviation, 2))} {unit}" if is_known(deviation) else "no band known"
    return quantity(mean, unit), band


def coverage_sentence(coverage: float | None) -> str:
    """How much of the consumption is measured now."""
    if coverage is None or not is_known(coverage) or coverage <= 0:
        return "No meter reports now: this is what the community's habits and the sky suggest."
    if coverage >= FULL:
        return "All of the consumption is measured."
    words = ((NEARLY_FULL, "Nearly all"), (MOST, "Most"), (HALF, "About half"))
    word = next((word for least, word in words if coverage >= least), "A small part")
    return f"{word} of the consumption is measured ({percent(coverage)}); the twin estimates the rest from it."


def age_sentence(age_s: float | None) -> str:
    """How old the newest reading is."""
    if age_s is None or not is_known(age_s):
        return "No reading has come in yet."
    late = " That is late: look at the meters' connection." if age_s > STALE_AFTER_S else ""
    return f"The newest reading is {duration(age_s)} old.{late}"


def is_stale(state: Document) -> bool:
    """Whether readings are missing or late."""
    age_s = state.get("data_age_s")
    return not (is_known(age_s) and age_s <= STALE_AFTER_S)


def unmetered_sentence(state: Document) -> str | None:
    """How much of the demand stands on no meter; None where all does, or none of it is known."""
    part = (state.get("parts") or {}).get("unmetered_demand_kw") or {}
    mean, deviation = part.get("mean"), part.get("sd")
    coverage = state.get("coverage")
    if not is_known(mean) or not is_known(deviation) or not is_known(coverage) or not 0 < coverage < FULL:
        return None
    return (
        f"{quantity(mean, 'kW')} (± {quantity(SURE * deviation, 'kW')}) of the demand is estimated: no meter shows it."
    )


def consistency_sentence(state: Document) -> str:
    """Whether the bands are as wide as they should be, by innovations and by truth that came later."""
    streams = (state.get("consistency") or {}).get("streams") or {}
    lost = {name: one for name, one in streams.items() if one.get("is_lost")}
    if lost:
        told = _by_width({name: _width_of_lost(one) for name, one in lost.items()}, streams)
        return f"Do not rely on the bands: they are {told}, and the twin learns anew."
    widths = {name: _width(one["nis"]) for name, one in streams.items() if is_known(one.get("nis"))}
    if not widths:
        return "Whether the bands are as wide as they should be is not known yet."
    return f"The bands are {_by_width(widths, streams)}."


def _by_width(widths: Mapping[str, str], streams: Document) -> str:
    """Which bands are how wide, with the evidence."""
    names: dict[str, list[str]] = {}
    for name, width in widths.items():
        names.setdefault(width, []).append(f"{spoken(name)} ({_evidence(streams[name])})")
    return listed([f"{width} for {listed(those)}" for width, those in names.items()])


def is_inconsistent(state: Document) -> bool:
    """Whether the twin says that its bands are not to be relied on."""
    return bool((state.get("consistency") or {}).get("is_lost"))


def _width(nis: float) -> str:
    if nis > TOO_SURE:
        return NARROW
    return WIDE if nis < TOO_CAUTIOUS else "as wide as they should be"


def _width_of_lost(stream: Document) -> str:
    """To which side a lost stream errs: what came late decides where it speaks clearly, else the innovations."""
    held = stream.get("late_truth_coverage")
    if is_known(held) and not LEAST_HELD <= held <= MOST_HELD:
        return NARROW if held < LEAST_HELD else WIDE
    nis = stream.get("nis")
    return NARROW if is_known(nis) and nis > 1 else WIDE


def _evidence(stream: Document) -> str:
    told = f"NIS {number(stream.get('nis'))}, ideal 1"
    late = stream.get("late_truth_coverage")
    return f"{told}; {percent(late)} of what came late lay inside, ideal 95 %" if is_known(late) else told


def history_finding(history: Document) -> str:
    """Energy used and made over the time shown."""
    hours = history["resolution_minutes"] / 60
    energies: dict[str, float] = {}
    for name in ("demand_kw", "pv_kw"):
        means = ((history.get("states") or {}).get(name) or {}).get("mean") or []
        energies[name] = sum(value for value in means if is_known(value)) * hours
    span = len(((history.get("states") or {}).get("demand_kw") or {}).get("mean") or []) * hours
    used, made = energies["demand_kw"], energies["pv_kw"]
    if not span or used <= 0:
        return "There is no estimate for this time yet."
    share = f", {percent(made / used)} of that" if made > 0 else ""
    amounts = f"the homes used {quantity(used, 'kWh')} and PV made {quantity(made, 'kWh')}"
    return f"In the last {quantity(round(span), 'hours')} {amounts}{share}."


def prediction_finding(prediction: Document, zone: tzinfo) -> str:
    """The highest demand that is expected, and what PV is expected to make."""
    made = (prediction.get("states") or {}).get("demand_kw") or {}
    known = [(value, index) for index, value in enumerate(made.get("mean") or []) if is_known(value)]
    if not known:
        return "Nothing is expected yet."
    peak_kw, index = max(known, key=lambda one: (one[0], -one[1]))
    step = timedelta(minutes=prediction["resolution_minutes"])
    at = local_hour(parsed(prediction["start"]) + index * step, zone)
    lower, upper = ((made.get(side) or [None] * (index + 1))[index] for side in ("lower", "upper"))
    band = f" (95 %: {number(lower)} to {number(upper)} kW)" if is_known(lower) and is_known(upper) else ""
    means = ((prediction.get("states") or {}).get("pv_kw") or {}).get("mean") or []
    pv_kwh = sum(value for value in means if is_known(value)) * prediction["resolution_minutes"] / 60
    sun = f", and PV to make {quantity(pv_kwh, 'kWh')}" if pv_kwh > 0 else ""
    return f"Demand is expected to be highest on {at} with {quantity(peak_kw, 'kW')}{band}{sun}."


def stored_finding(state: Document, capacity_kwh: float) -> str:
    """How full the storage is."""
    stored, band = estimate(state, "storage_soc_kwh", "kWh")
    mean = ((state.get("states") or {}).get("storage_soc_kwh") or {}).get("mean")
    deviation = ((state.get("states") or {}).get("storage_soc_kwh") or {}).get("sd")
    if not is_known(mean) or (is_known(deviation) and SURE * deviation > capacity_kwh / 3):
        return "What is in the storage is not known: send readings of storage_soc_kwh."
    return f"The storage holds {stored} ({band}), {percent(mean / capacity_kwh)} of what fits in."

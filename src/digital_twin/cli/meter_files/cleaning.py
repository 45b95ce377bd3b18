"""What is not believable in a series: counts that rise for ever, glitches, dead meters, negatives."""

import numpy as np

from digital_twin.cli.meter_files.guesses import Notes
from digital_twin.cli.meter_files.intervals import Placed
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import allowed_range
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array, SeriesKind

SURE_COUNT, FEW_COUNT = 50, 4
SURE_FALLS, DOUBTFUL_FALLS = 0.01, 0.15
"""Falls per rise: energies fall as often as they rise; a count falls when it is set back, some each midnight."""
GLITCH_FACTOR = 10.0
GLITCH_FLOOR_KW = 20.0
"""No home's fuse is so small that less could be called impossible."""
LARGE_FOR_A_MEMBER_KW = 50.0
"""Of a home usually so much is rather the same number of watts."""
ENOUGH_TO_JUDGE = 200
RARE_NEGATIVES = 0.005


def is_register(who: str, values: Array, kind: SeriesKind, options: ImportOptions, notes: Notes) -> bool:
    """Whether values are a register's count rather than energies per interval.

    Raises:
        InvalidInput: it cannot be told.
    """
    if kind is not SeriesKind.ENERGY:
        if options.cumulative:
            raise InvalidInput(f"{who} is a power and cannot be a register's count; which --unit?", field="cumulative")
        return False
    if options.cumulative is not None:
        return options.cumulative
    known = values[np.isfinite(values)]
    steps = np.diff(known)
    rises, falls = int((steps > 0).sum()), int((steps < 0).sum())
    if rises < 2 or falls > DOUBTFUL_FALLS * rises:
        return False
    is_long = known.size >= SURE_COUNT and rises >= 10
    if is_long and falls <= SURE_FALLS * rises:
        notes.find("a count that rises, taken as differences", who, known.size, f"ends at {known[-1]:g}")
        return True
    if is_long or (known.size >= FEW_COUNT and np.median(known) > 5 * np.median(steps[steps > 0])):
        raise InvalidInput(
            f"are the values of {who} a register's count, or energies per interval? say --cumulative or "
            "--no-cumulative",
            field="cumulative",
        )
    return False


def differenced(placed: Placed, notes: Notes) -> Placed:
    """The energy of each interval, which lies between its start and the next.

    Raises:
        InvalidInput: there is one reading alone.
    """
    if placed.grid.steps == 1:
        raise InvalidInput(f"{placed.who} has one reading of its register; a difference takes two", field="cumulative")
    steps = np.diff(placed.values)
    resets = steps < 0
    notes.find("the count was set back, interval left out", placed.who, int(resets.sum()), "")
    grid = TimeGrid(placed.grid.start, steps.size, placed.grid.step_minutes)
    return Placed(placed.who, grid, np.where(resets, np.nan, steps))


def without_glitches(placed: Placed, to_kw: float, unit: str, options: ImportOptions, notes: Notes) -> Placed:
    """Without values far outside the usual, which are reported; `to_kw` turns the values into mean kW."""
    values = placed.values
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if not sizes.size:
        notes.find("nothing but zeros", placed.who, int(np.isfinite(values).sum()), "is the meter connected?")
        return placed
    if sizes.size < ENOUGH_TO_JUDGE:
        return placed
    usual = float(np.quantile(sizes, 0.99))
    floor = GLITCH_FLOOR_KW / to_kw
    glitch = np.abs(values) > max(GLITCH_FACTOR * usual, floor)
    negative = values < 0
    if negative.mean() < RARE_NEGATIVES:
        glitch |= negative & (-values > max(2 * usual, floor))
    if not glitch.any():
        return placed
    fate = "kept" if options.keep_glitches else "left out; --keep-glitches keeps them"
    notes.find(f"glitches, {fate}", placed.who, int(glitch.sum()), f"{values[glitch][0]:g} {unit}, usual {usual:.3g}")
    return placed if options.keep_glitches else Placed(placed.who, placed.grid, np.where(glitch, np.nan, values))


def doubt_unit(who: str, load_kw: Array, options: ImportOptions, notes: Notes) -> None:
    """Ask about powers of a member that are large for one, unless the unit was said."""
    sizes = np.abs(load_kw[np.isfinite(load_kw) & (load_kw != 0)])
    usual_kw = float(np.median(sizes)) if sizes.size else 0.0
    if options.unit is None and usual_kw > LARGE_FOR_A_MEMBER_KW:
        notes.find("large for a member: is the unit right?", who, int(sizes.size), f"usually {usual_kw:,.3g} kW")


def without_negatives(placed: Placed, series: str, unit: str, options: ImportOptions, notes: Notes) -> Placed:
    """Without values below what the series may have.

    Raises:
        InvalidInput: there are some, and nothing was said of what to do.
    """
    low, _ = allowed_range(series)
    values = placed.values
    negative = values < low
    if not negative.any():
        return placed
    count, example = int(negative.sum()), f"{np.nanmin(values):g} {unit}"
    if options.negatives == "refuse":
        is_net = negative.mean() > RARE_NEGATIVES and series == "load_kw"
        hint = "it looks like a net register: import it with --series net_load_kw; else " if is_net else ""
        raise InvalidInput(
            f"{placed.who} has {count} values of {series} below {low:g} (down to {example}); {hint}say --negatives "
            "clip or --negatives drop",
            field="negatives",
        )
    clip = options.negatives == "clip"
    fate = f"set to {low:g}" if clip else "left out"
    notes.find(f"values below {low:g}, {fate}", placed.who, count, example)
    return Placed(placed.who, placed.grid, np.where(negative, low if clip else np.nan, values))

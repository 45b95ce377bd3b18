"""A linear program some of whose bounds may be passed, by as little as possible."""

from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.linear_program import LinearProgram, OutOfTime, run

FAR = 1e9
"""Beyond any power or energy: a bound there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Loosened:
    """Columns whose upper (or lower) bound may be passed: all by the same, or each by its own."""

    columns: Array
    is_upper: bool
    each_interval: bool


@dataclass(frozen=True, slots=True, eq=False)
class Elastic:
    """A point, and by how much it passes each group of bounds."""

    x: Array
    by: list[Array]


def least_excess(program: LinearProgram, loosened: Sequence[Loosened], *, time_limit_s: float) -> Elastic:
    """The point whose sum of excesses is least; costs do not count. Raises NoFeasiblePoint and OutOfTime."""
    before = program.cost.size
    lower, upper = program.lower.copy(), program.upper.copy()
    rows: list[sp.csr_array] = []
    row_lower: list[Array] = []
    row_upper: list[Array] = []
    sizes = [group.columns.size if group.each_interval else 1 for group in loosened]
    total, start = before + sum(sizes), before
    for group, size in zip(loosened, sizes, strict=True):
        count, columns = group.columns.size, group.columns.astype(np.int64)
        slack = start + (np.arange(count) if group.each_interval else np.zeros(count, dtype=np.int64))
        sign = -1.0 if group.is_upper else 1.0
        places = (np.tile(np.arange(count), 2), np.concatenate([columns, slack]))
        rows.append(sp.csr_array((np.repeat([1.0, sign], count), places), shape=(count, total)))
        bounds = program.upper[columns] if group.is_upper else program.lower[columns]
        row_lower.append(np.full(count, -highspy.kHighsInf) if group.is_upper else bounds)
        row_upper.append(bounds if group.is_upper else np.full(count, highspy.kHighsInf))
        (upper if group.is_upper else lower)[columns] = FAR if group.is_upper else 0.0
        start += size
    slacks = total - before
    kept = sp.csr_array(sp.hstack([program.matrix, sp.csr_array((program.row_lower.size, slacks))]))
    highs = highspy.Highs()
    for option, value in (("output_flag", False), ("threads", 1), ("time_limit", time_limit_s)):
        highs.setOptionValue(option, value)
    extended = LinearProgram(
        np.concatenate([np.zeros(before), np.ones(slacks)]),
        np.concatenate([lower, np.zeros(slacks)]),
        np.concatenate([upper, np.full(slacks, FAR)]),
        sp.csc_array(sp.vstack([kept, *rows])),
        np.concatenate([program.row_lower, *row_lower]),
        np.concatenate([program.row_upper, *row_upper]),
    )
    highs.passModel(extended.to_highs())
    if not run(highs):
        raise OutOfTime(0.0)
    x = np.asarray(highs.getSolution().col_value)
    return Elastic(x[:before], np.split(x[before:], np.cumsum(sizes)[:-1]))

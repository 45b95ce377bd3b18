"""Limits that cannot be kept together: one from which none can be left out, and the one with the fewest limits.

A conflict is found by deletion (Chinneck, Dravnieks 1991, ORSA Journal on Computing 3, 157-168): a limit without which
there is still no plan is left out; of those that remain any one may go, and there is a plan. Another conflict may have
fewer limits. The smallest is the smallest set that meets every set of limits whose giving up admits a plan (Ignatiev,
Previti, Liffiton, Marques-Silva 2015, CP, 173-182): such sets are gathered until the smallest set that meets all of
them is itself a conflict, or has as many limits as the conflict that is known.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from digital_twin.optimization.compiled import Mask
from digital_twin.optimization.explanation.relaxable import Limit
from digital_twin.optimization.linear_program import OutOfTime

MOST_FOR_SMALLEST = 40
"""With more limits than these, another conflict with fewer is not looked for."""

Proof = Literal["smallest", "irreducible", "unfinished"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A limit that is kept in the intervals [first, end) and nowhere else."""

    limit: Limit
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Limits that cannot be kept together, and what is proved of them.

    `irreducible`: with one fewer there would be a plan. `smallest`: and no conflict has fewer. `unfinished`: neither.
    """

    kept: tuple[Kept, ...]
    proof: Proof


class Question(Protocol):
    """Whether there is a plan that keeps these limits, all others given up. Raises OutOfTime."""

    def __call__(self, kept: Iterable[Kept]) -> bool: ...


def find_conflict(limits: list[Limit], steps: int, has_plan: Question) -> Conflict | None:
    """What is found until the time is over; None where the limits are not what is in the way, or no time is left."""
    everywhere = [Kept(limit, 0, steps) for limit in limits]
    try:
        if not has_plan([]):
            return None
    except OutOfTime:
        return None
    found, is_finished = _reduced(everywhere, has_plan)
    if not is_finished:
        return Conflict(tuple(found), "unfinished")
    if len(found) == len(limits) and _is_plan(found, has_plan):
        return None
    proof: Proof = "irreducible"
    if len(found) == 1:
        proof = "smallest"
    elif len(limits) <= MOST_FOR_SMALLEST:
        with suppress(OutOfTime):
            found, proof = _smallest(everywhere, found, has_plan), "smallest"
    return Conflict(tuple(_confined(found, has_plan)), proof)


def _is_plan(kept: list[Kept], has_plan: Question) -> bool:
    """Whether they can all be kept after all, so that something else is in the way."""
    with suppress(OutOfTime):
        return has_plan(kept)
    return False


def _reduced(kept: list[Kept], has_plan: Question) -> tuple[list[Kept], bool]:
    """Without those that the conflict does not need, as far as time allows."""
    needed = list(kept)
    for one in kept:
        others = [other for other in needed if other is not one]
        try:
            if not has_plan(others):
                needed = others
        except OutOfTime:
            return needed, False
    return needed, True


def _smallest(kept: list[Kept], known: list[Kept], has_plan: Question) -> list[Kept]:
    """A conflict than which none has fewer limits. Raises OutOfTime."""
    met_by: list[Mask] = []
    while True:
        tried = _hitting_set(met_by, len(kept))
        if len(tried) >= len(known):
            return known
        chosen = [kept[index] for index in tried]
        if not has_plan(chosen):
            return chosen
        for index, one in enumerate(kept):
            if index not in tried and has_plan([*chosen, one]):
                chosen.append(one)
        met_by.append(np.array([not any(one is other for other in chosen) for one in kept]))


def _hitting_set(sets: list[Mask], size: int) -> list[int]:
    """The fewest of so many numbers of which each set has one."""
    if not sets:
        return []
    found = milp(
        np.ones(size), integrality=np.ones(size), bounds=Bounds(0, 1), constraints=LinearConstraint(np.array(sets), 1)
    )
    return np.flatnonzero(found.x > 0.5).tolist()


def _confined(kept: list[Kept], has_plan: Question) -> list[Kept]:
    """Each in the shortest stretch of intervals in which it still conflicts, as far as time allows."""
    found = list(kept)
    for index, one in enumerate(found):
        others = [other for place, other in enumerate(found) if place != index]
        try:
            found[index] = _shortest(one, others, has_plan)
        except OutOfTime:
            break
    return found


def _shortest(kept: Kept, others: list[Kept], has_plan: Question) -> Kept:
    """Its end as early, then its start as late as leaves the conflict: found by halving."""

    def conflicts(first: int, end: int) -> bool:
        return not has_plan([*others, Kept(kept.limit, first, end)])

    end = _first_true(lambda end: conflicts(0, end), 1, kept.end)
    first = end - _first_true(lambda length: conflicts(end - length, end), 1, end)
    return Kept(kept.limit, first, end)


def _first_true(test: Callable[[int], bool], low: int, high: int) -> int:
    """The smallest whole number for which a monotone test holds; it holds for `high`."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if test(middle) else (middle + 1, high)
    return high

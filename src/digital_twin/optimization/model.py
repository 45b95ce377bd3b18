"""A model under construction, and the numbers of one problem by the names of its variables and parameters.

What changes from call to call are parameters, on the right-hand side where they can be, and plain vectors of bounds and
prices, so one canonicalisation serves every call of a shape.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cvxpy as cp

from digital_twin.domain.units import Array

Prices = Mapping[str, Array]
"""What each variable costs; missing ones cost nothing."""


@dataclass(slots=True)
class Model:
    """Variables, constraints and what the balance of each interval is made of."""

    steps: int
    step_hours: float
    variables: dict[str, cp.Variable] = field(default_factory=dict[str, cp.Variable])
    parameters: dict[str, cp.Parameter] = field(default_factory=dict[str, cp.Parameter])
    constraints: list[cp.Constraint] = field(default_factory=list[cp.Constraint])
    supply_kw: list[cp.Expression] = field(default_factory=list[cp.Expression])
    taken_kw: list[cp.Expression] = field(default_factory=list[cp.Expression])  # by storage and devices
    given_kw: list[cp.Expression] = field(default_factory=list[cp.Expression])

    def variable(self, name: str, size: int) -> cp.Variable:
        """A variable; its bounds (0 and infinity unless `Numbers` says otherwise) come with each problem."""
        made = self.variables[name] = cp.Variable(size, name=name)
        return made

    def parameter(self, name: str, size: int) -> cp.Parameter:
        """A number of each problem: a right-hand side, or an entry of the matrix."""
        made = self.parameters[name] = cp.Parameter(size, name=name)
        return made

    def equate(self, left: cp.Expression, right: Any) -> None:
        """A physics or a need that always holds."""
        self.constraints.append(left == right)

    def connect(self, taken_kw: cp.Expression, given_kw: cp.Expression | None = None) -> None:
        """A storage or device with what it takes and gives back."""
        self.taken_kw.append(taken_kw)
        if given_kw is not None:
            self.given_kw.append(given_kw)
        self.supply_kw.append(-taken_kw if given_kw is None else given_kw - taken_kw)


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """One problem as vectors by name: right-hand sides of parameters, bounds of variables."""

    right_hand_sides: dict[str, Array]  # an entry of the matrix may be among them
    lower: dict[str, Array]
    upper: dict[str, Array]

    def joined(self, other: "Numbers") -> "Numbers":
        """These and those of another part of the model."""
        return Numbers(
            self.right_hand_sides | other.right_hand_sides, self.lower | other.lower, self.upper | other.upper
        )

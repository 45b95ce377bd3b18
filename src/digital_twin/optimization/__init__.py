"""What to do: dispatch plans that are optimal, checked and explained.

The types import numpy alone; `dispatch` and `explain` import the solver.
"""

from digital_twin.optimization.plan import (
    OBJECTIVES,
    BindingLimit,
    DispatchProblem,
    GridLimits,
    MemberExchange,
    Outlook,
    PeakCharge,
    Schedule,
    Storage,
    Weights,
)

__all__ = [
    "OBJECTIVES",
    "BindingLimit",
    "DispatchProblem",
    "GridLimits",
    "MemberExchange",
    "Outlook",
    "PeakCharge",
    "Schedule",
    "Storage",
    "Weights",
]

"""What to do: dispatch plans that are optimal, checked and explained.

The types import numpy alone; `dispatch` and `explain` import the solver.
"""

from digital_twin.optimization.devices import (
    Battery,
    Device,
    DeviceUse,
    ElectricVehicle,
    HeatPump,
    ShiftableLoad,
    ShiftableRun,
    Stay,
    Storage,
)
from digital_twin.optimization.plan import (
    OBJECTIVES,
    BindingLimit,
    DispatchProblem,
    GridLimits,
    MemberExchange,
    Outlook,
    PeakCharge,
    Schedule,
    Weights,
)

__all__ = [
    "OBJECTIVES",
    "Battery",
    "BindingLimit",
    "Device",
    "DeviceUse",
    "DispatchProblem",
    "ElectricVehicle",
    "GridLimits",
    "HeatPump",
    "MemberExchange",
    "Outlook",
    "PeakCharge",
    "Schedule",
    "ShiftableLoad",
    "ShiftableRun",
    "Stay",
    "Storage",
    "Weights",
]

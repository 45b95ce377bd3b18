"""What is happening: the state of a community, estimated from the meters that have reported, with error bars."""

from digital_twin.macro_twin.calibration import Metering, TwinReadings, calibrate
from digital_twin.macro_twin.model import TwinModel, prior_model
from digital_twin.macro_twin.state import Advanced, Track, TwinState, advance, start_state, stuck_meters
from digital_twin.macro_twin.structure import ESTIMATED, OBSERVED, Plant

__all__ = [
    "ESTIMATED",
    "OBSERVED",
    "Advanced",
    "Metering",
    "Plant",
    "Track",
    "TwinModel",
    "TwinReadings",
    "TwinState",
    "advance",
    "calibrate",
    "prior_model",
    "start_state",
    "stuck_meters",
]

"""What is happening: the state of a community, estimated from the meters that have reported, with error bars.

Only the words are imported here; what is compiled is imported from its module where it runs: `state.py` advances,
`calibration.py` learns, `model.py` holds what was learned.
"""

from digital_twin.macro_twin.condition import Condition
from digital_twin.macro_twin.consistency import SURE
from digital_twin.macro_twin.structure import ESTIMATED, OBSERVED, Metering, Plant

__all__ = ["ESTIMATED", "OBSERVED", "SURE", "Condition", "Metering", "Plant"]

"""In-memory adapters, a clock to hold in one's hands, and a test of forecasters: for tests here and in plug-ins."""

from digital_twin.testing.fakes import FakeClock, InProcessPool
from digital_twin.testing.forecasters import check_forecaster
from digital_twin.testing.store import MemoryStore

__all__ = ["FakeClock", "InProcessPool", "MemoryStore", "check_forecaster"]

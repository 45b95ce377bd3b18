"""In-memory adapters and a clock to hold in one's hands: for tests of use cases, here and in plug-ins."""

from digital_twin.testing.fakes import FakeClock, InProcessPool
from digital_twin.testing.store import MemoryStore

__all__ = ["FakeClock", "InProcessPool", "MemoryStore"]

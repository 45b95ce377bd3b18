"""What if: synthetic communities that behave like real ones."""

from digital_twin.simulation.synthetic import Place, SyntheticCommunity, synthetic_community

__all__ = ["Place", "SyntheticCommunity", "synthetic_community"]

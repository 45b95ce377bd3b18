"""The HTTP face of the twin."""

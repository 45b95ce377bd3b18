"""The words of the twin: time, units, communities, readings, tariffs and what can go wrong."""

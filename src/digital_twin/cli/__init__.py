"""The command line, `digital-twin ...`."""

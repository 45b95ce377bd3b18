"""Use cases: one file per noun, async, talking to the outside through `ports` only."""

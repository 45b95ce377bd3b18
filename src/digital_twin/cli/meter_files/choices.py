"""The words that flags of `digital-twin import` may be given."""

from enum import StrEnum


class Label(StrEnum):
    """What a time names of its interval."""

    START = "start"
    END = "end"


class Negatives(StrEnum):
    """What becomes of values below zero where there can be none."""

    REFUSE = "refuse"
    CLIP = "clip"
    DROP = "drop"


class RepeatedHour(StrEnum):
    """Which pass a time belongs to that the clock shows twice and the file has once."""

    FIRST = "first"
    SECOND = "second"


class Dates(StrEnum):
    """The order of day and month."""

    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


class Decimal(StrEnum):
    """The decimal sign."""

    POINT = "."
    COMMA = ","

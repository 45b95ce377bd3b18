"""Functions that decide speed, compiled to machine code when they are first called and kept on disk."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The same function in machine code; nopython, and without reordering of sums, so that the same input gives the
    same bits."""
    return cast(F, njit(cache=True)(function))

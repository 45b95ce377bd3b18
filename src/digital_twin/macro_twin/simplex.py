"""The lowest point of a function of a few numbers, without its slope.

Source: Nelder and Mead (1965), The Computer Journal 7, 308-313.
"""

from collections.abc import Callable

import numpy as np

from digital_twin.domain.units import Array


def minimise(function: Callable[[Array], float], start: Array, *, step: float, evaluations: int) -> Array:
    """The lowest point found by a simplex of so large a step after about so many evaluations."""
    points = np.vstack([start, start + step * np.eye(start.size)])
    values = np.array([function(point) for point in points])
    asked = values.size
    while asked < evaluations:
        order = np.argsort(values, kind="stable")
        points, values = points[order], values[order]
        centre = points[:-1].mean(axis=0)

        def along(far: float, centre: Array = centre, worst: Array = points[-1]) -> tuple[Array, float]:
            point = centre + far * (centre - worst)
            return point, function(point)

        point, value = along(1.0)
        asked += 1
        if value < values[0]:
            further = along(2.0)
            asked += 1
            point, value = further if further[1] < value else (point, value)
        elif value >= values[-2]:
            point, value = along(0.5 if value < values[-1] else -0.5)
            asked += 1
        if value < values[-1]:
            points[-1], values[-1] = point, value
        else:
            points[1:] = points[0] + 0.5 * (points[1:] - points[0])
            values[1:] = [function(point) for point in points[1:]]
            asked += start.size
    return points[np.argmin(values)]

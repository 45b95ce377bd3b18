"""Among plans that are as good, the one whose storages run most evenly.

Where prices are the same for hours, a storage may charge in one spike or all the time, at the same cost and use. The
even course is the one that people expect, and it spares grid and battery. What may move is read off the optimal face:
columns without a price, between their bounds. Each storage in turn, the community's first, gets the powers with the
least sum of squares that the others, the connection and what can be curtailed leave it; directions, and the intervals
in which a minimum power is on, stay as they were found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.compiled import CompiledModel, Face
from digital_twin.optimization.device_blocks import prefix_of
from digital_twin.optimization.devices import Battery, ElectricVehicle, ShiftableLoad
from digital_twin.optimization.even_course import even_course
from digital_twin.optimization.plan import DispatchProblem

_OFF_KW = 1e-7
_CONNECTION = ("import_kw", "export_kw", "import_beyond_kw", "export_beyond_kw")


@dataclass(frozen=True, slots=True)
class _Chain:
    """Powers of intervals that meet in one level: a battery's, a vehicle's of one stay, a load's of its window."""

    prefix: str
    span: slice
    charged_kwh_per_kw: float
    discharged_kwh_per_kw: float | None = None
    minimum_kw: float = 0.0
    ends_free: bool = False


def evened(problem: DispatchProblem, compiled: CompiledModel, face: Face) -> dict[str, Array] | None:
    """The values of the most even plan of a face; None where nothing may move, or rounding leads outside."""
    chains = list(_chains(problem))
    courses = _Courses(compiled, face, chains)
    has_moved = [courses.even(chain) for chain in chains]
    return courses.values if any(has_moved) and compiled.keeps_to(face.limits, courses.x) else None


def _chains(problem: DispatchProblem) -> Iterator[_Chain]:
    """Heat pumps follow the weather and runs their profile: no two intervals of theirs are alike."""
    steps, hours = problem.outlook.grid.steps, problem.outlook.grid.step_hours
    whole = slice(0, steps)
    store = problem.storage
    yield _Chain("", whole, hours * store.charge_efficiency, -hours / store.discharge_efficiency, ends_free=True)
    for index, device in enumerate(problem.devices):
        prefix = prefix_of(index)
        match device:
            case Battery():
                gains = hours * device.storage.charge_efficiency, -hours / device.storage.discharge_efficiency
                yield _Chain(prefix, whole, *gains, ends_free=True)
            case ElectricVehicle():
                gains = hours * device.charge_efficiency, -hours / device.discharge_efficiency
                for stay in device.stays:
                    yield _Chain(prefix, slice(stay.first, stay.end), *gains, device.minimum_power_kw)
            case ShiftableLoad():
                yield _Chain(prefix, slice(device.first, device.end), hours, None, device.minimum_power_kw)
            case _:
                pass


class _Courses:
    """A plan of the face, and how far each column may move."""

    def __init__(self, compiled: CompiledModel, face: Face, chains: Sequence[_Chain]) -> None:
        self.x = face.x.copy()
        self.values = compiled.named(self.x)  # views
        moving = {f"{one.prefix}{name}" for one in chains for name in ("charge_kw", "discharge_kw")}
        lower, upper = compiled.within_rows(face, self.values.keys() & {*moving, *_CONNECTION, "curtailed_kw"})
        self._lower, self._upper = compiled.named(lower), compiled.named(upper)

    def even(self, chain: _Chain) -> bool:
        """Move one storage, and with it the connection and what is curtailed. Whether it had anywhere to go."""
        at = chain.span
        powers, low, high = self._powers(chain, "charge_kw")
        gain, signs = np.full(powers.size, chain.charged_kwh_per_kw), np.ones(powers.size)
        if chain.discharged_kwh_per_kw is not None:
            discharge, *limits = self._powers(chain, "discharge_kw")
            is_back = (discharge > _OFF_KW) | (low == high)
            gain[is_back], signs[is_back] = chain.discharged_kwh_per_kw, -1.0
            powers = np.where(is_back, discharge, powers)
            low, high = np.where(is_back, limits[0], low), np.where(is_back, limits[1], high)
        less, more = self._room(at)
        is_taken = signs > 0
        low = np.maximum(low, powers - np.where(is_taken, less, more))
        high = np.minimum(high, powers + np.where(is_taken, more, less))
        if np.count_nonzero(high - low > _OFF_KW) < 2:
            return False
        low, high = np.minimum(low, powers), np.maximum(high, powers)
        course, is_found = even_course((gain, low, high), *self._levels(chain, (gain * powers).cumsum()))
        if is_found:
            self._move(chain, (course - powers, signs, gain))
        return is_found

    def _powers(self, chain: _Chain, name: str) -> tuple[Array, Array, Array]:
        """As they are, and between which they may move; with a minimum power only where they are on."""
        name = f"{chain.prefix}{name}"
        powers, low, high = (one[name][chain.span] for one in (self.values, self._lower, self._upper))
        if chain.minimum_kw:
            is_on = powers > _OFF_KW
            low, high = np.where(is_on, np.maximum(low, chain.minimum_kw), powers), np.where(is_on, high, powers)
        return powers, low, high

    def _levels(self, chain: _Chain, stored: Array) -> tuple[Array, Array]:
        """Between which the sum of what is stored may move; the end stays unless it is free."""
        name = f"{chain.prefix}soc_kwh"
        if name in self.values:
            others = self.values[name][chain.span] - stored
            least, most = (bounds[name][chain.span] - others for bounds in (self._lower, self._upper))
        else:
            least, most = np.full(stored.size, -np.inf), np.full(stored.size, np.inf)
        if not chain.ends_free:
            least[-1] = most[-1] = stored[-1]
        return np.minimum(least, stored), np.maximum(most, stored)

    def _room(self, at: slice) -> tuple[Array, Array]:
        """By how much less and more the connection and what is curtailed leave to be taken."""
        less, more = np.zeros(at.stop - at.start), np.zeros(at.stop - at.start)
        for name in (*_CONNECTION, "curtailed_kw"):
            if name in self.values:
                value = self.values[name][at]
                falls, rises = value - self._lower[name][at], self._upper[name][at] - value
                less, more = (less + falls, more + rises) if "import" in name else (less + rises, more + falls)
        return less, more

    def _move(self, chain: _Chain, moved: tuple[Array, Array, Array]) -> None:
        """What is taken comes from the connection where it may, the rest is curtailed the less."""
        change, signs, gain = moved
        at, prefix, values = chain.span, chain.prefix, self.values
        values[f"{prefix}charge_kw"][at] += np.where(signs > 0, change, 0.0)
        if chain.discharged_kwh_per_kw is not None:
            values[f"{prefix}discharge_kw"][at] += np.where(signs > 0, 0.0, change)
        if f"{prefix}soc_kwh" in values:
            values[f"{prefix}soc_kwh"][at] += (gain * change).cumsum()
        net_kw = signs * change
        for name in _CONNECTION:
            if name in values:
                net_kw = net_kw + (values[name][at] if "import" in name else -values[name][at])
        for name in _CONNECTION:
            if name in values:
                sign = 1.0 if "import" in name else -1.0
                values[name][at] = np.minimum(np.maximum(sign * net_kw, self._lower[name][at]), self._upper[name][at])
                net_kw = net_kw - sign * values[name][at]
        values["curtailed_kw"][at] -= net_kw

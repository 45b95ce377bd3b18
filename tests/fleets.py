"""Fleets of eight kinds, drawn from a seed, and the same question as one large linear program for other solvers."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from scipy.sparse import csr_matrix, diags, eye, hstack, identity, kron, vstack

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.optimization.fleet.plan import FleetMembers, FleetProblem, FleetStorages
from digital_twin.optimization.plan import GridLimits, PeakCharge

KINDS = (
    "base", "flat tariff", "import limit", "export limit", "third without battery", "identical", "extreme ranges", "EV",
)  # fmt: skip
BEYOND_PER_KWH, PEAK_PER_KW, WEAR_PER_KWH = 2.0, 0.15, 0.01


def fleet(kind: str, members: int, seed: int, steps: int = 96) -> FleetProblem:
    """A day of homes with batteries: limits may be exceeded at a price, and the highest import costs."""
    generator = np.random.default_rng([seed, KINDS.index(kind)])
    hours = np.arange(steps) * 24 / steps
    homes, storages = _homes(members, hours, generator), _batteries(members, steps, generator)
    import_price = 0.24 + 0.12 * _bump(hours, 19, 2.2) + 0.04 * _bump(hours, 8, 1.5) + generator.normal(0, 0.01, steps)
    export_price = 0.06 + generator.normal(0, 0.004, steps)
    if kind == "flat tariff":
        import_price, export_price = np.full(steps, 0.30), np.full(steps, 0.06)
    if kind == "export limit":
        homes = replace(homes, load_kw=0.15 * homes.load_kw)
    if kind == "third without battery":
        storages = _without_some(storages, generator)
    if kind == "identical":
        storages = _all_like_the_first(storages)
    if kind == "extreme ranges":
        homes, storages = _of_extreme_sizes(homes, storages, generator)
    if kind == "EV":
        storages = _with_vehicles(storages, generator)
    load, pv = homes.load_kw.sum(axis=0).max(), max(homes.pv_kw.sum(axis=0).max(), 1e-6)
    parts = {"import limit": (0.45, 0.45), "export limit": (0.75, 0.15)}.get(kind, (0.75, 0.45))
    return FleetProblem(
        TimeGrid(datetime(2026, 3, 2, tzinfo=UTC), steps, 1440 // steps),
        homes,
        storages,
        import_price,
        export_price,
        GridLimits(float(parts[0] * load), float(parts[1] * pv), BEYOND_PER_KWH),
        PeakCharge(PEAK_PER_KW),
    )


def _bump(hours: Array, middle: Array | float, width: float) -> Array:
    return np.exp(-(((hours - middle) / width) ** 2))


def _homes(members: int, hours: Array, generator: np.random.Generator) -> FleetMembers:
    size = generator.lognormal(0, 0.4, members)[:, None]
    morning, evening = 7.5 + generator.normal(0, 1, (members, 1)), 19 + generator.normal(0, 1.5, (members, 1))
    load = size * (0.25 + 0.3 * _bump(hours, morning, 1.5) + 0.9 * _bump(hours, evening, 2.2))
    load = load * generator.lognormal(0, 0.25, load.shape)
    peak = generator.uniform(0, 6, members) * (generator.random(members) < 0.6)
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None) ** 1.3
    pv = peak[:, None] * sun * generator.uniform(0.7, 1, (members, 1))
    unlimited = np.full(members, np.inf)
    return FleetMembers(load, pv, np.ones(members, dtype=bool), unlimited, unlimited)


def _batteries(count: int, steps: int, generator: np.random.Generator) -> FleetStorages:
    capacity = generator.uniform(4, 15, count)
    power = np.repeat((capacity / generator.uniform(1.2, 5, count))[:, None], steps, axis=1)
    initial, efficiency = capacity * generator.uniform(0.1, 0.7, count), generator.uniform(0.88, 0.98, count)
    lowest = np.zeros((count, steps))
    lowest[:, -1] = initial
    return FleetStorages(
        np.arange(count), power, power.copy(), lowest, np.repeat(capacity[:, None], steps, axis=1),
        np.zeros((count, steps)), initial, efficiency, efficiency.copy(), np.full(count, WEAR_PER_KWH), np.zeros(count),
    )  # fmt: skip


def _without_some(storages: FleetStorages, generator: np.random.Generator) -> FleetStorages:
    """A third has nothing, a tenth no power, a tenth no capacity."""
    drawn = generator.random(storages.member.size)
    powerless, empty = drawn < 0.4, (drawn < 0.3) | ((drawn >= 0.4) & (drawn < 0.5))
    power = np.where(powerless[:, None], 0.0, storages.charge_max_kw)
    return replace(
        storages,
        charge_max_kw=power,
        discharge_max_kw=power,
        lowest_kwh=np.where(empty[:, None], 0.0, storages.lowest_kwh),
        highest_kwh=np.where(empty[:, None], 0.0, storages.highest_kwh),
        initial_kwh=np.where(empty, 0.0, storages.initial_kwh),
    )


def _all_like_the_first(storages: FleetStorages) -> FleetStorages:
    return rows(storages, np.zeros(storages.member.size, dtype=np.int64), storages.member)


def rows(storages: FleetStorages, chosen: Array, member: Array) -> FleetStorages:
    """These rows, as storages of these members."""
    names = [name for name in FleetStorages.__slots__ if name != "member"]
    return FleetStorages(member, **{name: getattr(storages, name)[chosen] for name in names})


def _of_extreme_sizes(
    homes: FleetMembers, storages: FleetStorages, generator: np.random.Generator
) -> tuple[FleetMembers, FleetStorages]:
    """From half a kilowatt-hour to five thousand."""
    size = np.exp(generator.uniform(np.log(0.5), np.log(5000), storages.member.size))
    factor = (size / storages.highest_kwh[:, 0])[:, None]
    bounds = {
        name: getattr(storages, name) * factor
        for name in ("charge_max_kw", "discharge_max_kw", "lowest_kwh", "highest_kwh")
    }
    load, pv = homes.load_kw * size[:, None] / 10, homes.pv_kw * size[:, None] / 10
    return replace(homes, load_kw=load, pv_kw=pv), replace(
        storages, initial_kwh=storages.initial_kwh * factor[:, 0], **bounds
    )


def _with_vehicles(storages: FleetStorages, generator: np.random.Generator) -> FleetStorages:
    """Two fifths are vehicles that leave in the morning with what was asked for; the others keep a reserve."""
    count, steps = storages.charge_max_kw.shape
    hours = 24 / steps
    charge, discharge = storages.charge_max_kw.copy(), storages.discharge_max_kw.copy()
    highest, driven, initial = storages.highest_kwh.copy(), storages.driven_kwh.copy(), storages.initial_kwh.copy()
    lowest = np.minimum(0.1 * highest, initial[:, None])
    lowest[:, -1] = initial
    for row in np.flatnonzero(generator.random(count) < 0.4):
        capacity, power = generator.uniform(40, 80), generator.choice([3.7, 7.4, 11.0])
        leaves, returns = (round(generator.normal(hour, 0.7) / hours) for hour in (7.5, 17.5))
        initial[row], highest[row] = capacity * generator.uniform(0.3, 0.6), capacity
        charge[row] = discharge[row] = power
        charge[row, leaves:returns] = 0.0
        discharge[row] = charge[row] * (generator.random() < 0.5)
        gain = 0.98 * storages.charge_efficiency[row] * power * hours
        wanted = min(0.8 * capacity, initial[row] + gain * leaves)
        use = min(generator.uniform(4, 14), 0.9 * wanted)
        driven[row, leaves:returns] = use / (returns - leaves)
        lowest[row] = 0.0
        lowest[row, leaves - 1] = wanted
        lowest[row, -1] = min(initial[row], wanted - use + gain * (steps - returns))
    return replace(
        storages, charge_max_kw=charge, discharge_max_kw=discharge, lowest_kwh=lowest, highest_kwh=highest,
        driven_kwh=driven, initial_kwh=initial,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class LargeProgram:
    """Minimise cost x + constant with row and column bounds."""

    cost: Array
    matrix: csr_matrix
    row_lower: Array
    row_upper: Array
    upper: Array  # the lower bounds are 0, but of what is stored
    lower: Array
    constant: float


def large_program(problem: FleetProblem) -> LargeProgram:
    """Everything in one: charge, discharge and energy of each storage, curtailment of each member, the connection."""
    members, storages, hours = problem.members, problem.storages, problem.grid.step_hours
    (count, steps), homes = storages.charge_max_kw.shape, members.load_kw.shape[0]
    one, size = identity(steps), count * steps
    before = identity(steps) - eye(steps, k=-1)
    owned = csr_matrix((np.ones(count), (storages.member, np.arange(count))), shape=(homes, count))
    behind = kron(owned, one)
    stored = hstack([
        kron(diags(-hours * storages.charge_efficiency), one), kron(diags(hours / storages.discharge_efficiency), one),
        kron(identity(count), before), csr_matrix((size, (homes + 4) * steps + 1)),
    ])  # fmt: skip
    # import side: what a member takes, charge - discharge + curtailed
    takes = hstack([behind, -behind, csr_matrix((homes * steps, size)), identity(homes * steps)])
    together = kron(np.ones((1, homes)), one) @ takes
    net = hstack([-together, one, one, -one, -one, csr_matrix((steps, 1))])
    peak = hstack(
        [csr_matrix(together.shape), one, one, csr_matrix((steps, 2 * steps)), csr_matrix(-np.ones((steps, 1)))]
    )
    fuses = hstack([takes, csr_matrix((homes * steps, 4 * steps + 1))])
    drawn = -storages.driven_kwh.copy()
    drawn[:, 0] += storages.initial_kwh
    need = (members.load_kw - members.pv_kw).sum(axis=0)
    surplus = (members.pv_kw - members.load_kw).ravel()
    inward, outward = (np.repeat(fuse, steps) for fuse in (members.import_fuse_kw, members.export_fuse_kw))
    infinite = np.full(steps, np.inf)
    beyond = problem.limits.beyond_per_kwh
    left = np.zeros((count, steps))
    left[:, -1] = -storages.end_value_per_kwh
    wear = np.repeat(hours * storages.wear_per_kwh, steps)
    price_in, price_out = hours * problem.import_price_per_kwh, hours * problem.export_price_per_kwh
    extra = hours * (beyond or 0.0)
    so_far = problem.peak.so_far_kw if problem.peak else 0.0
    per_kw = problem.peak.per_kw if problem.peak else 0.0
    excess = infinite if beyond is not None else np.zeros(steps)
    free = np.repeat(members.curtailable, steps)
    return LargeProgram(
        np.concatenate([
            wear, wear, left.ravel(), np.zeros(homes * steps), price_in, price_in + extra, -price_out,
            extra - price_out, [per_kw],
        ]),
        csr_matrix(vstack([stored, net, peak, fuses])),
        np.concatenate([drawn.ravel(), need, -infinite, surplus - outward]),
        np.concatenate([drawn.ravel(), need, np.zeros(steps), surplus + inward]),
        np.concatenate([
            storages.charge_max_kw.ravel(), storages.discharge_max_kw.ravel(), storages.highest_kwh.ravel(),
            np.where(free, members.pv_kw.ravel(), 0.0), np.full(steps, problem.limits.import_kw), excess,
            np.full(steps, problem.limits.export_kw), excess, [np.inf],
        ]),
        np.concatenate([
            np.zeros(2 * size), storages.lowest_kwh.ravel(), np.zeros(homes * steps + 4 * steps), [so_far],
        ]),
        -per_kw * so_far,
    )  # fmt: skip

"""The slow twin of the simulation's kernel: whole arrays, a plain loop for the storage, the domain's own sharing."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.sharing import Registers, Sharing, SharingRule, allocate, community_cost, member_bills
from digital_twin.domain.units import Array
from digital_twin.simulation.kernel import ONE_METER, OWN_METERS, SHARED, Profiles, Site, Year


@dataclass(frozen=True, slots=True, eq=False)
class SlowYear:
    """Everything step by step; energies in kWh; the last row of the registers is the storage's or common meter."""

    load: Array  # (N, T)
    pv: Array  # (N, T)
    registers: Registers
    curtailed: Array  # (T,)
    charged: Array  # (T,)
    discharged: Array  # (T,)
    soc: Array  # (T,)
    buy: Array  # (T,)
    sell: Array  # (T,)
    factor: Array  # (T,)


def slow_year(profiles: Profiles, year: Year, site: Site) -> SlowYear:
    """The same year with one home for each profile."""
    assert site.homes_per_profile == 1
    per_day = profiles.steps_per_day
    hours = 24 / per_day
    steps = np.arange(per_day)
    sky = (year.weather_days[:, None] * per_day + steps).ravel()
    lived = (year.load_days[:, None] * per_day + steps).ravel()
    degrees = np.repeat(year.degrees_added, per_day)[:, None]
    load_kw = profiles.load_kw[lived] * year.load_factor + degrees * year.load_kw_per_degree + year.load_added_kw
    load = hours * np.maximum(load_kw, 0).T
    pv = hours * year.pv_kw * profiles.pv_share[sky].T.astype(np.float64)
    net = load - pv
    total = net.sum(axis=0)
    zero = np.zeros_like(total)
    if site.mode == ONE_METER:
        charged, discharged, soc = battery(-total, site, 1.0, hours)
        meter = total + charged - discharged
        imports = np.vstack([np.zeros_like(net), np.maximum(meter, 0)])
        exports = np.vstack([np.zeros_like(net), np.maximum(-meter, 0)])
    elif site.mode == OWN_METERS:
        each = [battery(-home, site, share, hours) for home, share in zip(net, site.storage_share, strict=True)]
        after = np.stack([home + into - out for home, (into, out, _) in zip(net, each, strict=True)])
        imports, exports = np.vstack([np.maximum(after, 0), zero]), np.vstack([np.maximum(-after, 0), zero])
        charged, discharged, soc = (np.sum([one[part] for one in each], axis=0) for part in range(3))
    else:
        charged, discharged, soc = battery(-total, site, 1.0, hours)
        imports, exports = np.vstack([np.maximum(net, 0), charged]), np.vstack([np.maximum(-net, 0), discharged])
    fed = exports.sum(axis=0) - imports.sum(axis=0)
    over = np.clip(fed - site.export_limit_kw * hours, 0, pv.sum(axis=0)) if site.is_curtailable else zero
    kept = 1 - np.divide(over, exports.sum(axis=0), out=np.zeros_like(over), where=over > 0)
    return SlowYear(
        load, pv, Registers(imports, exports * kept), over, charged, discharged, soc,
        year.import_price[0] + year.import_price[1] * profiles.paths[sky, 0],
        year.export_price[0] + year.export_price[1] * profiles.paths[sky, 1],
        year.emission_factor[0] + year.emission_factor[1] * profiles.paths[sky, 2],
    )  # fmt: skip


def battery(surplus: Array, site: Site, share: float, hours: float) -> tuple[Array, Array, Array]:
    """Surplus charges, deficit discharges; empty at first."""
    charged, discharged, soc = (np.zeros_like(surplus) for _ in range(3))
    now, most = 0.0, share * site.power_kw * hours
    for step, value in enumerate(surplus):
        if value > 0:
            charged[step] = max(0.0, min(value, most, (share * site.capacity_kwh - now) / site.charge_efficiency))
        else:
            discharged[step] = min(-value, most, now * site.discharge_efficiency)
        now += site.charge_efficiency * charged[step] - discharged[step] / site.discharge_efficiency
        soc[step] = now
    return charged, discharged, soc


def slow_totals(slow: SlowYear, site: Site, sharing: Sharing) -> tuple[dict[str, float], Array]:
    """What the kernel adds up, and the bills, by the functions of `domain.sharing`."""
    block = site.settlement_steps
    settled = slow.registers.per_settlement_interval(block)

    def mean(values: Array) -> Array:
        return values.reshape(-1, block).mean(axis=1)

    def total(values: Array) -> Array:
        return values.reshape(-1, block).sum(axis=1)

    buy, sell = mean(slow.buy), mean(slow.sell)
    coefficients = (
        np.append(site.coefficients, 0.0) if sharing.rule in (SharingRule.STATIC, SharingRule.HYBRID) else None
    )
    allocation = allocate(sharing.rule, settled, coefficients)
    gain = sharing.gain_per_kwh(buy, sell, sell)
    if sharing.premium is not None and sharing.is_shared:
        gain = mean(sharing.premium.per_kwh(slow.sell))
    shared = allocation.shared_kwh if site.mode == SHARED else np.zeros_like(buy)
    # retail at the price of each step; what sharing adds, at the mean price of the settlement interval
    none = Sharing(SharingRule.NONE)
    retail = member_bills(slow.registers, allocation, none, slow.buy, slow.sell)
    at_mean = member_bills(settled, allocation, none, buy, sell)
    bills = retail + member_bills(settled, allocation, sharing, buy, sell) - at_mean
    cost = community_cost(slow.registers, np.zeros_like(slow.buy), slow.buy, slow.sell, slow.buy) - shared @ gain
    imports, exports = settled.import_kwh.sum(axis=0), settled.export_kwh.sum(axis=0)
    net = slow.registers.import_kwh.sum(axis=0) - slow.registers.export_kwh.sum(axis=0)
    left_pv = np.minimum(exports - shared, total(slow.pv.sum(axis=0) - slow.curtailed))
    return {
        "cost": float(cost),
        "emissions_kg": float(mean(slow.factor) @ (imports - shared)),
        "load_kwh": float(slow.load.sum()),
        "generation_kwh": float(slow.pv.sum()),
        "curtailed_kwh": float(slow.curtailed.sum()),
        "imported_kwh": float(imports.sum()),
        "exported_kwh": float(exports.sum()),
        "shared_kwh": float(shared.sum()),
        "left_import_kwh": float((imports - shared).sum()),
        "left_pv_export_kwh": float(left_pv.sum()),
        "charged_kwh": float(slow.charged.sum()),
        "discharged_kwh": float(slow.discharged.sum()),
        "final_soc_kwh": float(slow.soc[-1]),
        "peak_import_kwh": float(max(net.max(), 0.0)),
    }, bills

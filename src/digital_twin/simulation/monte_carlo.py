"""Many years of each scenario: which numbers a run has, and what it adds up to."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.errors import InsufficientData
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.units import Array
from digital_twin.simulation.base_year import BaseYear, heating_kw_per_degree
from digital_twin.simulation.kernel import ONE_METER, OWN_METERS, SHARED, Profiles, Site, Year, simulate_year
from digital_twin.simulation.outcomes import TOTALS, Outcomes
from digital_twin.simulation.sampling import Draw, draw
from digital_twin.simulation.scenario import Change, Policy, Setting
from digital_twin.simulation.terms import Terms, has_fixed_shares

_NOT_GIVEN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """The terms, on a base year.

    Raises:
        InsufficientData: a rule with fixed shares where the homes have none.
    """

    base: BaseYear
    terms: Terms

    def __post_init__(self) -> None:
        for setting in self.terms.settings:
            if has_fixed_shares(setting.sharing_rule) and self.base.coefficients is None:
                raise InsufficientData(
                    f"the sharing rule {setting.sharing_rule} needs the sharing_coefficient of every member; "
                    "give them with the members, or choose dynamic",
                )


def simulate_runs(study: Study, first: int, count: int) -> Outcomes:
    """Runs first .. first + count - 1 of every scenario; all scenarios of a run meet the same year."""
    base, terms = study.base, study.terms
    profiles = Profiles(
        np.ascontiguousarray(base.load_kw),
        np.ascontiguousarray(base.pv_share),
        np.stack([base.import_price_per_kwh, base.export_price_per_kwh, base.emission_factor_kg_per_kwh], axis=1),
        base.steps_per_day,
    )
    per_degree = heating_kw_per_degree(base.load_kw, base.heating_degrees)
    sites = [site_of(study, setting) for setting in terms.settings]
    totals = np.empty((len(sites), count, len(TOTALS)))
    bills = np.empty((len(sites), count, base.homes + 1))
    for place in range(count):
        drawn = draw(terms.seed, first + place, terms.days, base.homes)
        for number, (setting, site) in enumerate(zip(terms.settings, sites, strict=True)):
            year = year_of(base, setting, drawn, per_degree, site.homes_per_profile)
            totals[number, place], bills[number, place] = simulate_year(profiles, year, site)
    return Outcomes(totals, bills)


def year_of(base: BaseYear, setting: Setting, drawn: Draw, per_degree: Array, homes_per_profile: float) -> Year:
    """A drawn year as this scenario meets it: a change is of what the community would have, drawn as it is."""
    degrees = base.heating_degrees
    is_cold = degrees[drawn.weather_days] > 0
    shift = degrees[drawn.weather_days] - degrees[drawn.load_days] - drawn.warmer_c * is_cold
    factor = drawn.load_factor * drawn.home_factors * setting.load.multiply
    return Year(
        drawn.weather_days,
        drawn.load_days,
        shift,
        factor,
        per_degree * factor,
        setting.load.add / (homes_per_profile * base.homes),
        setting.total_pv_capacity_kw * drawn.yield_factor / homes_per_profile,
        _price_line(base.import_price_per_kwh, drawn.import_price_factor, drawn.volatility, setting.import_price),
        _price_line(base.export_price_per_kwh, drawn.export_price_factor, drawn.volatility, setting.export_price),
        (setting.emission_factor.add, setting.emission_factor.multiply),
    )


def _price_line(price: Array, level: float, volatility: float, change: Change) -> tuple[float, float]:
    """Constant and factor: level x (mean + volatility x (price - mean)), then the scenario's change."""
    mean = float(price.mean())
    return change.multiply * level * (1 - volatility) * mean + change.add, change.multiply * level * volatility


def site_of(study: Study, setting: Setting) -> Site:
    """The rules and devices of a scenario."""
    base, terms, rule = study.base, study.terms, setting.sharing_rule
    sharing, charge = terms.sharing, terms.capacity_charge
    weight = setting.num_prosumers / terms.num_prosumers * base.homes_per_profile
    premium = sharing.premium
    coefficients = np.zeros(base.homes)
    if has_fixed_shares(rule) and base.coefficients is not None:
        coefficients = base.coefficients
    return Site(
        mode={SharingRule.SINGLE_METER: ONE_METER, SharingRule.NONE: OWN_METERS}.get(rule, SHARED),
        homes_per_profile=weight,
        settlement_steps=max(1, sharing.settlement_minutes // base.grid.step_minutes),
        coefficients=coefficients,
        is_dynamic=rule in (SharingRule.DYNAMIC, SharingRule.HYBRID),
        network_charge_per_kwh=sharing.network_charge_per_kwh,
        sharing_price_per_kwh=_or_nan(sharing.sharing_price_per_kwh),
        premium_per_mwh=(_NOT_GIVEN, 0.0, 0.0)
        if premium is None
        else (premium.base_per_mwh, premium.cap_per_mwh, premium.regional_per_mwh + premium.refund_per_mwh),
        capacity_kwh=setting.total_storage_capacity_kwh,
        power_kw=setting.max_storage_power_kw if setting.policy is Policy.SELF_CONSUMPTION_RULE else 0.0,
        storage_share=_storage_share(base, weight),
        charge_efficiency=setting.charge_efficiency,
        discharge_efficiency=setting.discharge_efficiency,
        import_limit_kw=setting.grid_import_limit_kw,
        export_limit_kw=setting.grid_export_limit_kw,
        is_curtailable=base.is_curtailable,
        peak_per_kw=0.0 if charge is None else charge.per_kw,
        peak_so_far_kw=0.0 if charge is None else charge.peak_so_far_kw,
        billing_period=terms.billing_period,
    )


def _or_nan(value: float | None) -> float:
    return _NOT_GIVEN if value is None else value


def _storage_share(base: BaseYear, weight: float) -> Array:
    """Batteries stand where the PV is, in proportion to it; evenly where there is none."""  # (N,)
    generated = base.pv_share.sum(axis=0, dtype=np.float64)
    if not generated.any():
        generated = np.ones(base.homes)
    return generated / generated.sum() / weight

"""A scenario: what is different in it, and the numbers that a community then has.

A change is the new value itself, `{"multiply": x}` or `{"add": x}`, both of what the community has now.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from digital_twin.domain.assets import MAX_ENERGY_KWH, MAX_POWER_KW, check_efficiency, check_range
from digital_twin.domain.community import MAX_PROSUMERS, Community
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.identifiers import check_identifier
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.tariff import MAX_PRICE_PER_KWH
from digital_twin.simulation.economics import Investment

AS_IS = "as_is"
"""The community without any change, simulated beside every scenario: what savings are counted against."""

_FACTOR_LIMIT = 1e6


class Policy(StrEnum):
    """What the storage does."""

    SELF_CONSUMPTION_RULE = "self_consumption_rule"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Change:
    """From a present value to the scenario's: absolute + multiply x present + add."""

    multiply: float = 1.0
    add: float = 0.0

    def of(self, present: float) -> float:
        return self.multiply * present + self.add


UNCHANGED = Change()


@dataclass(frozen=True, slots=True)
class Setting:
    """The numbers that a scenario runs with."""

    num_prosumers: float
    total_pv_capacity_kw: float
    total_storage_capacity_kwh: float
    max_storage_power_kw: float
    grid_import_limit_kw: float
    grid_export_limit_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    sharing_rule: SharingRule
    policy: Policy = Policy.SELF_CONSUMPTION_RULE
    load: Change = UNCHANGED
    import_price: Change = UNCHANGED
    export_price: Change = UNCHANGED
    emission_factor: Change = UNCHANGED

    @property
    def is_one_meter(self) -> bool:
        """Whether all stand behind one meter, so that nobody has a bill of their own."""
        return self.sharing_rule is SharingRule.SINGLE_METER

    def __post_init__(self) -> None:
        check_range(self.num_prosumers, "num_prosumers", 1, MAX_PROSUMERS)
        if self.num_prosumers != int(self.num_prosumers):
            raise InvalidInput(
                f"num_prosumers must be a whole number, got {self.num_prosumers:g}", field="num_prosumers"
            )
        for name in ("total_pv_capacity_kw", "max_storage_power_kw", "grid_import_limit_kw", "grid_export_limit_kw"):
            check_range(getattr(self, name), name, 0, MAX_POWER_KW)
        check_range(self.total_storage_capacity_kwh, "total_storage_capacity_kwh", 0, MAX_ENERGY_KWH)
        check_efficiency(self.charge_efficiency, "charge_efficiency")
        check_efficiency(self.discharge_efficiency, "discharge_efficiency")
        check_range(self.load.multiply, "load_kw", 0, 1e3)
        check_range(self.load.add, "load_kw", -MAX_POWER_KW, MAX_POWER_KW)
        for name in ("import_price", "export_price"):
            change: Change = getattr(self, name)
            check_range(change.multiply, f"{name}_per_kwh", -100, 100)
            check_range(change.add, f"{name}_per_kwh", -MAX_PRICE_PER_KWH, MAX_PRICE_PER_KWH)
        check_range(self.emission_factor.multiply, "emission_factor_kg_per_kwh", 0, 100)
        check_range(self.emission_factor.add, "emission_factor_kg_per_kwh", -10, 10)


_NUMBERS = (
    "num_prosumers",
    "total_pv_capacity_kw",
    "total_storage_capacity_kwh",
    "max_storage_power_kw",
    "grid_import_limit_kw",
    "grid_export_limit_kw",
    "charge_efficiency",
    "discharge_efficiency",
)
_PATHS = {
    "import_price_per_kwh": "import_price",
    "export_price_per_kwh": "export_price",
    "emission_factor_kg_per_kwh": "emission_factor",
    "load_kw": "load",
}
"""What varies over time: a change applies to every interval."""

PARAMETERS = (*_NUMBERS, *_PATHS, "sharing_rule")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A question: what if these parameters were different?

    Raises:
        InvalidInput: the id is none.
    """

    scenario_id: str
    parameter_changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    name: str = ""
    description: str = ""
    policy: Policy = Policy.SELF_CONSUMPTION_RULE
    investment: Investment | None = None

    def __post_init__(self) -> None:
        check_identifier(self.scenario_id, "scenario_id")

    def setting(self, community: Community) -> Setting:
        """The community's numbers with the changes made.

        Raises:
            InvalidInput: an unknown parameter, a change that is none, or a result out of range; the field names it.
        """
        return changed(replace(setting_of(community), policy=self.policy), self.parameter_changes)


def setting_of(community: Community) -> Setting:
    """The community as it is, its storage following the self-consumption rule."""
    numbers: dict[str, Any] = {name: float(getattr(community, name)) for name in _NUMBERS}
    return Setting(**numbers, sharing_rule=community.sharing.rule)


def changed(setting: Setting, changes: Mapping[str, Any]) -> Setting:
    """The setting with the changes made. Raises InvalidInput, whose field is the parameter's."""
    made: dict[str, Any] = {}
    for name, change in changes.items():
        if name in _NUMBERS:
            made[name] = _change(name, change).of(getattr(setting, name))
        elif name in _PATHS:
            made[_PATHS[name]] = _change(name, change)
        elif name == "sharing_rule":
            made[name] = _sharing_rule(change)
        else:
            raise InvalidInput(
                f"{name!r} is no parameter of a scenario; known are {', '.join(PARAMETERS)}",
                field=f"parameter_changes.{name}",
            )
    try:
        return replace(setting, **made)
    except InvalidInput as error:
        raise InvalidInput(error.message, field=f"parameter_changes.{error.facts['field']}") from error


def _sharing_rule(value: Any) -> SharingRule:
    try:
        return SharingRule(value)
    except ValueError as error:
        allowed = ", ".join(SharingRule)
        raise InvalidInput(f"sharing_rule must be one of {allowed}", field="parameter_changes.sharing_rule") from error


def _change(name: str, given: Any) -> Change:
    """A number stands for itself; an object for one operation on the present value."""
    if _is_number(given):
        if name == "load_kw":
            raise InvalidInput(
                'load_kw varies over time: change it by {"multiply": x} or {"add": x}',
                field=f"parameter_changes.{name}",
            )
        return Change(0.0, float(given))
    if isinstance(given, Mapping) and len(given) == 1:
        operation, value = next(iter(given.items()))
        if operation == "multiply" and _is_number(value):
            return Change(float(value), 0.0)
        if operation == "add" and _is_number(value):
            return Change(1.0, float(value))
    raise InvalidInput(
        f'{name} must be a number, {{"multiply": number}} or {{"add": number}}', field=f"parameter_changes.{name}"
    )


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and bool(np.isfinite(value)) and abs(value) <= 10 * _FACTOR_LIMIT

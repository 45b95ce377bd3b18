"""Synthetic communities: homes whose peaks do not coincide, with roofs, batteries, vehicles and heat pumps of their own
under one sky.

A community is its recipe: every home draws from streams of its own (`streams.py`), so that it is the same however many
there are, in whatever portions they are made, and whatever else they have. How it compares with metered homes:
`benchmarks/synthetic.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from digital_twin.domain.assets import Asset, AssetDevice, Battery, check_range
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.simulation.heat_pumps import (
    HeatedHome,
    Heating,
    HeatingWeather,
    draw_heated_home,
    heat,
    heating_weather,
)
from digital_twin.simulation.home_batteries import draw_battery, follow_surplus
from digital_twin.simulation.homes import Calendar, Habits, calendar_of, home_load_kw
from digital_twin.simulation.place import Place
from digital_twin.simulation.roofs import Roof, draw_roof, roof_kw
from digital_twin.simulation.sky import SIDE_KM, Sky, Spot, design_temperature_c, moving_sky
from digital_twin.simulation.streams import Purpose, stream
from digital_twin.simulation.vehicles import ChargingSessions, Vehicle, charge_at_home, draw_vehicle


@dataclass(frozen=True, slots=True)
class Shares:
    """How many of the homes have what, 0..1; a home that has it keeps it when a share grows."""

    pv: float = 0.4
    battery: float = 0.5  # of the homes with PV
    vehicle: float = 0.2
    heat_pump: float = 0.25

    def __post_init__(self) -> None:
        for name in ("pv", "battery", "vehicle", "heat_pump"):
            check_range(getattr(self, name), name, 0, 1)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A community before it is made."""

    homes: int
    place: Place
    grid: TimeGrid
    seed: int
    shares: Shares = Shares()
    habits: Habits = field(default_factory=Habits)
    heating: Heating = field(default_factory=Heating)

    def __post_init__(self) -> None:
        if self.homes < 1:
            raise InvalidInput(f"homes must be at least 1, got {self.homes}", field="homes")
        if self.seed < 0:
            raise InvalidInput(f"seed must be at least 0, got {self.seed}", field="seed")
        if self.grid.step_minutes > 60:
            raise InvalidInput(f"a step has at most 60 minutes, got {self.grid.step_minutes}", field="step_minutes")


@dataclass(frozen=True, slots=True)
class Home:
    """What a home has."""

    number: int
    roof: Roof | None
    battery: Battery | None
    vehicle: Vehicle | None
    heating: HeatedHome | None

    @property
    def member_id(self) -> str:
        return f"home_{self.number + 1:03d}"

    @property
    def assets(self) -> list[Asset]:
        """As they are registered."""
        devices: dict[str, AssetDevice | None] = {
            "pv": self.roof and self.roof.photovoltaics,
            "battery": self.battery,
            "ev_charger": self.vehicle and self.vehicle.charger,
            "heat_pump": self.heating and self.heating.device,
        }
        return [
            Asset(f"{self.member_id}_{name}", device, self.member_id)
            for name, device in devices.items()
            if device is not None
        ]


@dataclass(frozen=True, slots=True, eq=False)
class HomeSeries:
    """A home and what its meters would say; zero where it lacks the device."""

    home: Home
    appliances_kw: Array  # (T,)
    vehicle_kw: Array  # (T,)
    heat_pump_kw: Array  # (T,)
    pv_kw: Array  # (T,)
    charge_kw: Array  # (T,)
    discharge_kw: Array  # (T,)
    soc_kwh: Array  # (T,) at the start of each interval
    sessions: ChargingSessions | None

    @property
    def load_kw(self) -> Array:
        """All that the home uses."""  # (T,)
        return self.appliances_kw + self.vehicle_kw + self.heat_pump_kw

    @property
    def net_load_kw(self) -> Array:
        """What the grid gives, negative where it takes."""  # (T,)
        return self.load_kw - self.pv_kw + self.charge_kw - self.discharge_kw

    @property
    def readings(self) -> dict[str, Array]:
        """What its meters say, under the names of series."""  # each (T,)
        found = {"load_kw": self.load_kw, "net_load_kw": self.net_load_kw}
        if self.home.roof:
            found["pv_kw"] = self.pv_kw
        if self.home.battery:
            found["storage_soc_kwh"] = self.soc_kwh
        return found


class SyntheticCommunity:
    """The homes of a recipe, each made when it is asked for, so that only some need to be in memory."""

    def __init__(self, recipe: Recipe, sky: Sky | None = None) -> None:
        """
        Args:
            sky: weather on the recipe's grid that is known; otherwise it is drawn.
        """
        self.recipe = recipe
        self._sky = sky

    @cached_property
    def sky(self) -> Sky:
        """The weather that all homes share."""
        drawn = stream(self.recipe.seed, Purpose.SKY)
        return self._sky or moving_sky(drawn, self.recipe.grid, self.recipe.place)

    @cached_property
    def homes(self) -> tuple[Home, ...]:
        """What each home has."""
        return tuple(self._home(number) for number in range(self.recipe.homes))

    @cached_property
    def pv_capacity_kw(self) -> float:
        """Of all roofs."""
        return sum(home.roof.photovoltaics.capacity_kw for home in self.homes if home.roof)

    def series(self, first: int = 0, after: int | None = None) -> Iterator[HomeSeries]:
        """The homes from `first` until before `after`, one at a time."""
        return (self._series(self._home(number)) for number in range(self.recipe.homes)[first:after])

    def _home(self, number: int) -> Home:
        shares, place = self.recipe.shares, self.recipe.place
        roof, battery, vehicle, heating = (
            self._stream(purpose, number)
            for purpose in (Purpose.ROOF, Purpose.BATTERY, Purpose.VEHICLE, Purpose.HEATING)
        )
        has_roof, has_battery = roof.uniform() < shares.pv, battery.uniform() < shares.battery
        spot = Spot(*self._stream(Purpose.SPOT, number).uniform(-SIDE_KM / 2, SIDE_KM / 2, 2))
        on_top = draw_roof(roof, place, spot) if has_roof else None
        design_c = design_temperature_c(place)
        return Home(
            number,
            on_top,
            draw_battery(battery, on_top.photovoltaics) if on_top and has_battery else None,
            draw_vehicle(vehicle) if vehicle.uniform() < shares.vehicle else None,
            draw_heated_home(heating, self.recipe.heating, design_c) if heating.uniform() < shares.heat_pump else None,
        )

    def _series(self, home: Home) -> HomeSeries:
        number, grid = home.number, self.recipe.grid
        nothing = np.zeros(grid.steps)
        appliances = home_load_kw(self._stream(Purpose.APPLIANCES, number), self._calendar, self.recipe.habits)
        vehicle, sessions = nothing, None
        if home.vehicle:
            vehicle, sessions = charge_at_home(self._stream(Purpose.JOURNEYS, number), self._calendar, home.vehicle)
        heat_pump = nothing
        if home.heating:
            drawn = self._stream(Purpose.HOT_WATER, number)
            heat_pump, _ = heat(drawn, home.heating, self._heating_weather, grid.step_minutes)
        pv = roof_kw(self.sky, home.roof) if home.roof else nothing
        charge, discharge, soc = nothing, nothing, nothing
        if home.battery:
            surplus = pv - (appliances + vehicle + heat_pump)
            charge, discharge, soc = follow_surplus(home.battery, surplus, grid.step_hours)
        return HomeSeries(home, appliances, vehicle, heat_pump, pv, charge, discharge, soc, sessions)

    def _stream(self, purpose: Purpose, number: int) -> np.random.Generator:
        return stream(self.recipe.seed, purpose, number)

    @cached_property
    def _calendar(self) -> Calendar:
        place = self.recipe.place
        return calendar_of(self.recipe.grid, place.timezone, place.latitude, self.sky.temperature_c)

    @cached_property
    def _heating_weather(self) -> HeatingWeather:
        return heating_weather(self.sky)

"""Domain values as JSON documents and back; the dataclasses are the truth, a union names its kind."""

from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from digital_twin.domain.assets import (
    Asset,
    AssetDevice,
    Battery,
    EvCharger,
    Fuse,
    HeatPump,
    Member,
    Photovoltaics,
)
from digital_twin.domain.bidding_zones import BiddingZone
from digital_twin.domain.community import Community
from digital_twin.domain.feeds import CarbonFeed, Feed, FeedKind, PriceFeed, PriceTerms, WeatherFeed
from digital_twin.domain.generation_mix import EmissionBasis
from digital_twin.domain.sharing import Sharing, SharingPremium, SharingRule
from digital_twin.domain.tariff import (
    BillingPeriod,
    CapacityCharge,
    DynamicPrice,
    FlatPrice,
    Price,
    Tariff,
    TimeOfUsePrice,
    TimeWindow,
)
from digital_twin.domain.topics import (
    Pick,
    TimeFormat,
    TimeMapping,
    TimeMark,
    TopicMapping,
    TopicTemplate,
    ValueMapping,
)
from digital_twin.domain.units import SeriesKind

Document = dict[str, Any]

_PRICES: dict[str, type[Price]] = {"flat": FlatPrice, "time_of_use": TimeOfUsePrice, "dynamic": DynamicPrice}
_DEVICES: dict[str, type[AssetDevice]] = {
    "pv": Photovoltaics,
    "battery": Battery,
    "ev_charger": EvCharger,
    "heat_pump": HeatPump,
    "fuse": Fuse,
}
_KINDS: dict[type[Any], str] = {cls: kind for kind, cls in (*_PRICES.items(), *_DEVICES.items())}


def to_document(value: Any) -> Any:
    """Plain JSON of a domain value."""
    if is_dataclass(value) and not isinstance(value, type):
        document = {field.name: to_document(getattr(value, field.name)) for field in fields(value)}
        kind = _KINDS.get(type(value))
        return document if kind is None else {"kind": kind, **document}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [to_document(item) for item in value]
    return value


def community_from(document: Document) -> Community:
    """The community of a document made by `to_document`."""
    tariff, sharing = document["tariff"], document["sharing"]
    plain = {name: value for name, value in document.items() if name not in ("tariff", "sharing")}
    return Community(**plain, tariff=None if tariff is None else _tariff(tariff), sharing=_sharing(sharing))


def _tariff(document: Document) -> Tariff:
    charge = document["capacity_charge"]
    return Tariff(
        _price(document["import_price"]),
        _price(document["export_price"]),
        None if charge is None else CapacityCharge(**_changed(charge, period=BillingPeriod(charge["period"]))),
    )


def _price(document: Document) -> Price:
    given = {name: value for name, value in document.items() if name != "kind"}
    if document["kind"] == "time_of_use":
        windows = [
            TimeWindow(**_changed(window, weekdays=frozenset(window["weekdays"]))) for window in given["windows"]
        ]
        return TimeOfUsePrice(given["default_per_kwh"], tuple(windows))
    return _PRICES[document["kind"]](**given)


def _sharing(document: Document) -> Sharing:
    premium = document["premium"]
    premium = None if premium is None else SharingPremium(**premium)
    return Sharing(**_changed(document, rule=SharingRule(document["rule"]), premium=premium))


def member_from(document: Document) -> Member:
    """The member of a document made by `to_document`."""
    return Member(**_changed(document, joined_at=_time(document["joined_at"]), left_at=_time(document["left_at"])))


def topic_mapping_from(document: Document) -> TopicMapping:
    """The topic mapping of a document made by `to_document`."""
    time = document["time"]
    if time is not None:
        time = TimeMapping(**_changed(time, format=TimeFormat(time["format"]), marks=TimeMark(time["marks"])))
    values = tuple(_value_mapping(one) for one in document["values"])
    return TopicMapping(**_changed(document, topic=TopicTemplate(document["topic"]["text"]), time=time, values=values))


def _value_mapping(document: Document) -> ValueMapping:
    kind = None if document["kind"] is None else SeriesKind(document["kind"])
    return ValueMapping(**_changed(document, kind=kind, samples=Pick(document["samples"])))


def _changed(document: Document, **changes: Any) -> Document:
    return {**document, **changes}


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def asset_from(document: Document) -> Asset:
    """The asset of a document made by `to_document`."""
    device = {name: value for name, value in document["device"].items() if name != "kind"}
    return Asset(document["asset_id"], _DEVICES[document["device"]["kind"]](**device), document["member_id"])


def feed_from(kind: FeedKind, document: Document) -> Feed:
    """The feed of a document made by `to_document`."""
    if kind is FeedKind.WEATHER:
        return WeatherFeed(**document)
    zone = BiddingZone(**document["zone"])
    if kind is FeedKind.CARBON:
        return CarbonFeed(**_changed(document, zone=zone, basis=EmissionBasis(document["basis"])))
    terms = {name: PriceTerms(**document[name]) for name in ("import_terms", "export_terms")}
    return PriceFeed(**_changed(document, zone=zone, **terms))

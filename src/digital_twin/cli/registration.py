"""How members' devices are told to `POST .../assets`."""

from dataclasses import asdict
from typing import Any

from digital_twin.domain.assets import Asset, AssetDevice, Battery, EvCharger, HeatPump, Photovoltaics

_KINDS: dict[type[AssetDevice], str] = {
    Photovoltaics: "pv",
    Battery: "battery",
    EvCharger: "ev_charger",
    HeatPump: "heat_pump",
}


def asset_document(asset: Asset) -> dict[str, Any]:
    """An asset of a synthetic home, its numbers to the watt."""
    numbers = {name: round(value, 3) for name, value in asdict(asset.device).items()}
    return {
        "asset_id": asset.asset_id,
        "member_id": asset.member_id,
        "device": {"kind": _KINDS[type(asset.device)], **numbers},
    }

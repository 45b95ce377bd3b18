"""Bidding zones: where one wholesale price holds, and what ENTSO-E calls them."""

import string
from dataclasses import dataclass

from digital_twin.domain.errors import InvalidInput

_SYMBOLS = string.digits + string.ascii_uppercase + "-"
_CODE_LENGTH = 16


@dataclass(frozen=True, slots=True)
class BiddingZone:
    """A zone by its short name and its Energy Identification Code."""

    name: str
    code: str


_CODES = {
    "AL": "10YAL-KESH-----5",
    "AT": "10YAT-APG------L",
    "BA": "10YBA-JPCC-----D",
    "BE": "10YBE----------2",
    "BG": "10YCA-BULGARIA-R",
    "CH": "10YCH-SWISSGRIDZ",
    "CY": "10YCY-1001A0003J",
    "CZ": "10YCZ-CEPS-----N",
    "DE-LU": "10Y1001A1001A82H",
    "DK1": "10YDK-1--------W",
    "DK2": "10YDK-2--------M",
    "EE": "10Y1001A1001A39I",
    "ES": "10YES-REE------0",
    "FI": "10YFI-1--------U",
    "FR": "10YFR-RTE------C",
    "GR": "10YGR-HTSO-----Y",
    "HR": "10YHR-HEP------M",
    "HU": "10YHU-MAVIR----U",
    "IE-SEM": "10Y1001A1001A59C",
    "IT-CALA": "10Y1001C--00096J",
    "IT-CNOR": "10Y1001A1001A70O",
    "IT-CSUD": "10Y1001A1001A71M",
    "IT-NORD": "10Y1001A1001A73I",
    "IT-SARD": "10Y1001A1001A74G",
    "IT-SICI": "10Y1001A1001A75E",
    "IT-SUD": "10Y1001A1001A788",
    "LT": "10YLT-1001A0008Q",
    "LV": "10YLV-1001A00074",
    "ME": "10YCS-CG-TSO---S",
    "MK": "10YMK-MEPSO----8",
    "NL": "10YNL----------L",
    "NO1": "10YNO-1--------2",
    "NO2": "10YNO-2--------T",
    "NO3": "10YNO-3--------J",
    "NO4": "10YNO-4--------9",
    "NO5": "10Y1001A1001A48H",
    "PL": "10YPL-AREA-----S",
    "PT": "10YPT-REN------W",
    "RO": "10YRO-TEL------P",
    "RS": "10YCS-SERBIATSOV",
    "SE1": "10Y1001A1001A44P",
    "SE2": "10Y1001A1001A45N",
    "SE3": "10Y1001A1001A46L",
    "SE4": "10Y1001A1001A47J",
    "SI": "10YSI-ELES-----O",
    "SK": "10YSK-SEPS-----K",
    "XK": "10Y1001C--00100H",
}

BIDDING_ZONES = {name: BiddingZone(name, code) for name, code in _CODES.items()}
"""Zones by their short names.

Source: ENTSO-E, Transparency Platform RESTful API user guide, appendix A.15 (areas); each code ends in its own check
character.
"""

_BY_CODE = {zone.code: zone for zone in BIDDING_ZONES.values()}


def bidding_zone(named: str) -> BiddingZone:
    """The zone of a short name such as AT, or of a code; a code that is not in the table stands for itself.

    Raises:
        InvalidInput: neither a known name nor a code of an area with a true check character.
    """
    if named in BIDDING_ZONES:
        return BIDDING_ZONES[named]
    if named in _BY_CODE:
        return _BY_CODE[named]
    if is_area_code(named):
        return BiddingZone(named, named)
    raise InvalidInput(
        f"zone must be one of {', '.join(BIDDING_ZONES)}, or the 16-character Energy Identification Code of an area",
        field="zone",
    )


def is_area_code(code: str) -> bool:
    """Whether this is the Energy Identification Code of an area (`Y`) and ends in the right check character.

    Source: ENTSO-E, The Energy Identification Coding Scheme reference manual, section on the check character.
    """
    if len(code) != _CODE_LENGTH or code[2] != "Y" or any(symbol not in _SYMBOLS for symbol in code):
        return False
    weights = range(_CODE_LENGTH, 1, -1)
    total = sum(weight * _SYMBOLS.index(symbol) for weight, symbol in zip(weights, code, strict=False))
    return code[-1] == _SYMBOLS[36 - (total - 1) % 37]

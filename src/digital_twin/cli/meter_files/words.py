"""What the name of a column says: the quantity, the unit, the direction of a register, the member it belongs to."""

import re
from dataclasses import dataclass
from typing import Literal

from digital_twin.domain.errors import InvalidInput

Role = Literal["load", "pv", "net", "import", "export"]

_STEMS: dict[Role, tuple[str, ...]] = {
    "net": ("net", "netto", "netload", "saldo", "residual", "residuallast"),
    "export": (
        "export", "exported", "einspeis*", "feedin", "feed", "fed", "inject*", "immission*", "immess*",
        "rückspeis*", "rueckspeis*", "überschuss*", "ueberschuss*", "surplus", "returned", "vertido*", "excedente*",
    ),
    "import": (
        "import", "imported", "bezug", "bezogen", "netzbezug", "stromb*", "prelievo", "preliev*", "soutir*",
        "withdraw*", "drawn",
    ),
    "pv": (
        "pv", "solar", "photovolt*", "generat*", "production", "produced", "produktion", "produzione", "producción",
        "erzeug*", "yield", "ertrag",
    ),
    "load": (
        "load", "loads", "consum*", "demand", "usage", "used", "verbrauch*", "stromverbrauch", "gesamtverbrauch",
        "lastgang", "lastprofil", "conso", "consommation",
    ),
}  # fmt: skip
"""Earlier roles win: `net load`, `solar export`."""

_OTHER = (
    "price", "prices", "preis", "cost", "costs", "tariff", "carbon", "co2", "emission*", "temp*", "humid*", "irradi*",
    "wind", "forecast*", "predict*", "status", "quality", "flag", "voltage", "frequency", "reactive", "kvarh", "kvar",
    "soc", "battery", "storage", "batterie", "speicher",
)  # fmt: skip
_CALENDAR = (
    "index", "year", "month", "week", "weekday", "day", "hour", "minute", "quarter", "holiday", "weekend", "unnamed",
    "month_of_year", "row",
)  # fmt: skip
_SUMS = ("total", "sum", "summe", "gesamt", "all", "totale", "aggregate")
_FILLERS = (
    "per", "interval", "min", "mins", "minutes", "h", "hour", "hourly", "energy", "power", "active", "electricity",
    "electric", "grid", "netz", "from", "to", "the", "of", "in", "into", "value", "values", "mean", "avg", "average",
    "register", "meter", "reading", "wert", "energie", "leistung", "strom", "aus", "ins", "and", "a", "kwp", *_SUMS,
)  # fmt: skip
_UNITS = {"kwh": "kWh", "wh": "Wh", "mwh": "MWh", "kw": "kW", "w": "W", "mw": "MW"}
_UNIT = re.compile(r"(?:^|[\s_(\[{.,/-])(kwh|wh|mwh|kw|w|mw)(?=$|[\s_)\]}.,/-])", re.IGNORECASE)
_UNIT_AT_END = re.compile(r"[\s_.,-]*[(\[{]?\b(kwh|wh|mwh|kw|w|mw)[)\]}]?(?:\s*(?:/|per)\s*\w+)?\s*$", re.IGNORECASE)
_OBIS = re.compile(r"(?:^|[^\d.])(?:\d-\d+:)?([12])[.:](?:8|29|9|5)[.:]\d+(?!\.\d)")
_RUN = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name says."""

    role: Role | None
    unit: str | None
    rest: str  # what is left of the name: perhaps a member
    is_other: str | None  # the word that makes it something that is not imported
    word: str  # what told the role


def tokens_of(name: str) -> list[str]:
    """The words and numbers of a name, lower case; camelCase is taken apart."""
    apart = re.sub(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ][a-zà-ÿ])", " ", name)
    return [token.lower() for token in _TOKEN.findall(apart)]


def meaning_of(name: str) -> Meaning:
    """What a name says; a word it does not know says nothing."""
    found = _UNIT.search(name)
    unit = None if found is None else _UNITS[found[1].lower()]
    tokens = tokens_of(name)
    role, word = _role_of(name, tokens)
    other = next((token for token in tokens if _says(token, _OTHER)), None)
    if role is None and other is None:
        other = next((token for token in tokens if token in _CALENDAR), None) or (None if tokens else "nothing")
        if other is None and all(token in _SUMS for token in tokens):
            other = tokens[0]
    rest = [left for run in _RUN.findall(_OBIS.sub(" ", name)) if (left := _beside_the_meaning(run))]
    return Meaning(role, unit, "_".join(rest), other, word)


def _beside_the_meaning(run: str) -> str:
    """What of a run of letters and digits says neither quantity nor unit."""
    return "".join(
        token
        for token in _TOKEN.findall(run)
        if token.lower() not in (*_FILLERS, *_UNITS)
        and not any(_says(token.lower(), stems) for stems in _STEMS.values())
    )


def _role_of(name: str, tokens: list[str]) -> tuple[Role | None, str]:
    if obis := _OBIS.search(name):
        return ("import" if obis[1] == "1" else "export"), obis[0].strip(" _([")
    for role, stems in _STEMS.items():
        for token in tokens:
            if _says(token, stems):
                return role, token
    return None, ""


def _says(token: str, stems: tuple[str, ...]) -> bool:
    return any(token.startswith(stem[:-1]) if stem.endswith("*") else token == stem for stem in stems)


def canonical_unit_name(text: str) -> str:
    """`kwh` is kWh; other units as they are."""
    return _UNITS.get(text.strip().lower(), text.strip())


def member_of_name(name: str) -> str:
    """The name of a column without its unit, as a member's id."""
    return identifier(_UNIT_AT_END.sub("", name) or name)


def identifier(value: object) -> str:
    """A member's id of letters, digits, `_` and `-`.

    Raises:
        InvalidInput: nothing is left.
    """
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    made = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:64] or ""
    if not made:
        raise InvalidInput(f"{text!r} cannot become a member's id of letters and digits", field="member-column")
    return made

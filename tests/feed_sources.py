"""A server on this machine that speaks the protocols of Open-Meteo and ENTSO-E, and every fault that a test asks for.

The forms follow the documentation of both; the numbers are formulas of the time, so that a test can work out each one.
"""

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

TOKEN = "token-of-the-test"
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
MARKET_ZONE = ZoneInfo("Europe/Brussels")
SEQUENCE = "classificationSequence_AttributeInstanceComponent.position"
UNITS = {
    "temperature_2m": "°C",
    "shortwave_radiation": "W/m²",
    "direct_normal_irradiance": "W/m²",
    "diffuse_radiation": "W/m²",
    "wind_speed_10m": "m/s",
}


@dataclass(frozen=True)
class Answer:
    """What goes over the wire; with `pause_s` after so long, and with `cut` only so many bytes of it."""

    body: bytes
    media_type: str = "application/json; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    cut: int | None = None


def as_json(document: Any, **given: Any) -> Answer:
    return Answer(json.dumps(document).encode(), **given)


def as_xml(document: str, **given: Any) -> Answer:
    return Answer(document.encode(), "text/xml", **given)


Fault = Callable[[str, dict[str, str], Answer], Answer]


class SourceServer:
    """Answers until the block ends; `fault` changes what it would have answered, `now` is its clock."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.fault: Fault | None = None
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator["SourceServer"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="sources")
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()  # who still pauses goes on at once
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def fail(self, answer: Answer) -> None:
        """Answer everything with this."""
        self.fault = lambda _path, _query, _answer: answer

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def _answer(self, path: str, query: dict[str, str]) -> Answer:
        if path in ("/v1/forecast", "/v1/archive"):
            answer = as_json(weather(path, query, self.now))
        elif query.get("securityToken") != TOKEN:
            answer = as_xml(acknowledgement("Unauthorized"), status=401)
        elif query["documentType"] == "A44":
            answer = as_xml(prices(query, self.now))
        else:
            answer = as_xml(generation(query, self.now))
        return answer if self.fault is None else self.fault(path, query, answer)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sources = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query, strict_parsing=True))
                sources.asked.append((parts.path, query))
                answer = sources._answer(parts.path, query)
                sources.closing.wait(answer.pause_s)
                try:
                    self._send(answer)
                except ConnectionError:
                    self.close_connection = True  # who asked has given up

            def _send(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in {"Content-Type": answer.media_type, **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body[: answer.cut])
                self.close_connection = answer.cut is not None

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


# Open-Meteo


def temperature_c(instant: datetime) -> float:
    return round(10 + 8 * math.sin(2 * math.pi * (instant.hour + instant.minute / 60 - 9) / 24), 1)


def radiation_wm2(end: datetime) -> float:
    """The mean of the interval that ends then."""
    return round(max(0.0, 800 * math.sin(math.pi * ((end.hour or 24) + end.minute / 60 - 6) / 12)), 1)


def weather(path: str, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """A document as Open-Meteo writes it."""
    section = "minutely_15" if "minutely_15" in query else "hourly"
    step = QUARTER if section == "minutely_15" else HOUR
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if path == "/v1/archive":
        first = datetime.fromisoformat(query["start_date"]).replace(tzinfo=UTC)
        last = datetime.fromisoformat(query["end_date"]).replace(tzinfo=UTC)
    else:
        first = today - timedelta(days=int(query["past_days"]))
        last = today + timedelta(days=int(query["forecast_days"]) - 1)
    times = [first + number * step for number in range(round((last + timedelta(days=1) - first) / step))]
    formulas = {
        "temperature_2m": temperature_c,
        "shortwave_radiation": radiation_wm2,
        "direct_normal_irradiance": lambda end: round(0.9 * radiation_wm2(end), 1),
        "diffuse_radiation": lambda end: round(0.3 * radiation_wm2(end), 1),
        "wind_speed_10m": lambda instant: 2.5 + instant.hour / 10,
    }
    wanted = query[section].split(",")
    return {
        "latitude": round(float(query["latitude"]) * 8) / 8,
        "longitude": round(float(query["longitude"]) * 8) / 8,
        "generationtime_ms": 0.21,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "timezone_abbreviation": "GMT",
        "elevation": 171.0,
        f"{section}_units": {"time": "unixtime", **{name: UNITS[name] for name in wanted}},
        section: {
            "time": [int(one.timestamp()) for one in times],
            **{name: [formulas[name](one) for one in times] for name in wanted},
        },
    }


# ENTSO-E


def spot_per_mwh(instant: datetime) -> float:
    """Equal in pairs of quarters, negative around noon: what A03 leaves out, and what a price may be."""
    quarter = instant.hour * 4 + instant.minute // 15
    return round(60 + 70 * math.cos(2 * math.pi * (quarter // 2) / 48) + instant.day / 10, 2)


def market_days(query: Mapping[str, str]) -> Iterator[tuple[datetime, datetime]]:
    """The days of the market that the question touches, from local midnight to midnight."""
    start, end = (
        datetime.strptime(query[name], "%Y%m%d%H%M").replace(tzinfo=UTC) for name in ("periodStart", "periodEnd")
    )
    midnight = start.astimezone(MARKET_ZONE).replace(hour=0, minute=0)
    while midnight.astimezone(UTC) < end:
        following = midnight + timedelta(days=1)  # on the wall clock: 23, 24 or 25 hours
        yield midnight.astimezone(UTC), following.astimezone(UTC)
        midnight = following


def prices(query: Mapping[str, str], now: datetime) -> str:
    """Those that are out: from one in the afternoon on, those of the next day too."""
    local = now.astimezone(MARKET_ZONE)
    out_until = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2 if local.hour >= 13 else 1)
    days = [day for day in market_days(query) if day[1] <= out_until.astimezone(UTC)]
    if not days:
        return acknowledgement(
            f"No matching data found for Data item ENERGY_PRICES [12.1.D] ({query['in_Domain']}, {query['in_Domain']})"
        )
    series = [
        price_series(
            start, end, lambda instant, sequence=sequence: spot_per_mwh(instant) - 5 * (sequence - 1), sequence, query
        )
        for start, end in days
        for sequence in (2, 1)  # the order in the document is not that of the auctions
    ]
    return publication("".join(series), now)


def price_series(
    start: datetime, end: datetime, value: Callable[[datetime], float], sequence: int, query: Mapping[str, str]
) -> str:
    count = round((end - start) / QUARTER)
    values = [value(start + number * QUARTER) for number in range(count)]
    told = [place for place in range(count) if place == 0 or values[place] != values[place - 1]]
    points = "".join(point(place + 1, "price.amount", values[place]) for place in told)
    return f"""<TimeSeries><mRID>1</mRID><auction.type>A01</auction.type><businessType>A62</businessType>
<in_Domain.mRID codingScheme="A01">{query["in_Domain"]}</in_Domain.mRID>
<out_Domain.mRID codingScheme="A01">{query["out_Domain"]}</out_Domain.mRID>
<contract_MarketAgreement.type>A01</contract_MarketAgreement.type><currency_Unit.name>EUR</currency_Unit.name>
<price_Measure_Unit.name>MWH</price_Measure_Unit.name>
<{SEQUENCE}>{sequence}</{SEQUENCE}>
<curveType>A03</curveType>{period(start, end, "PT15M", points)}</TimeSeries>"""


def publication(series: str, now: datetime) -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
<Publication_MarketDocument xmlns="urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3">
<mRID>7f3a</mRID><revisionNumber>1</revisionNumber><type>A44</type>
<sender_MarketParticipant.mRID codingScheme="A01">10X1001A1001A450</sender_MarketParticipant.mRID>
<createdDateTime>{now:%Y-%m-%dT%H:%M:%SZ}</createdDateTime>{series}</Publication_MarketDocument>"""


def generation_mw(kind: str, instant: datetime) -> float:
    return {"B04": 2000.0, "B16": 100.0 * instant.hour, "B12": 1500.0, "B19": 500.0 + 10 * instant.day}[kind]


def generation(query: Mapping[str, str], now: datetime) -> str:
    """What is known with two hours of delay; hydro in hours, the rest in quarters, and what storage takes."""
    start, end = (
        datetime.strptime(query[name], "%Y%m%d%H%M").replace(tzinfo=UTC) for name in ("periodStart", "periodEnd")
    )
    end = min(end, now.replace(minute=0, second=0, microsecond=0) - 2 * HOUR)
    if end <= start:
        return acknowledgement("No matching data found for Data item AGGREGATED_GENERATION_PER_TYPE_R3 [16.1.B&C]")
    parts = []
    for kind, step, resolution in (
        ("B04", QUARTER, "PT15M"),
        ("B16", QUARTER, "PT15M"),
        ("B12", HOUR, "PT60M"),
        ("B19", QUARTER, "PT15M"),
    ):
        values = [generation_mw(kind, start + place * step) for place in range(round((end - start) / step))]
        points = "".join(
            point(place + 1, "quantity", value)
            for place, value in enumerate(values)
            if place == 0 or value != values[place - 1]
        )
        parts.append(generation_series("inBiddingZone", kind, period(start, end, resolution, points), query))
    taken = period(start, end, "PT60M", point(1, "quantity", 900.0))
    parts.append(generation_series("outBiddingZone", "B10", taken, query))
    return load_document("".join(parts), now)


def generation_series(role: str, kind: str, periods: str, query: Mapping[str, str]) -> str:
    return f"""<TimeSeries><mRID>1</mRID><businessType>A01</businessType><objectAggregation>A08</objectAggregation>
<{role}_Domain.mRID codingScheme="A01">{query["in_Domain"]}</{role}_Domain.mRID>
<quantity_Measure_Unit.name>MAW</quantity_Measure_Unit.name><curveType>A03</curveType>
<MktPSRType><psrType>{kind}</psrType></MktPSRType>{periods}</TimeSeries>"""


def load_document(series: str, now: datetime) -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
<GL_MarketDocument xmlns="urn:iec62325.351:tc57wg16:451-6:generationloaddocument:3:0">
<mRID>8b1c</mRID><revisionNumber>1</revisionNumber><type>A75</type><process.processType>A16</process.processType>
<createdDateTime>{now:%Y-%m-%dT%H:%M:%SZ}</createdDateTime>{series}</GL_MarketDocument>"""


def period(start: datetime, end: datetime, resolution: str, points: str) -> str:
    return f"""<Period><timeInterval>
<start>{start:%Y-%m-%dT%H:%MZ}</start><end>{end:%Y-%m-%dT%H:%MZ}</end></timeInterval>
<resolution>{resolution}</resolution>{points}</Period>"""


def point(position: int, element: str, value: float) -> str:
    return f"<Point><position>{position}</position><{element}>{value}</{element}></Point>"


def acknowledgement(text: str) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Acknowledgement_MarketDocument xmlns="urn:iec62325.351:tc57wg16:451-1:acknowledgementdocument:7:0">
<mRID>a1</mRID><createdDateTime>2026-03-02T12:00:00Z</createdDateTime>
<Reason><code>999</code><text>{text}</text></Reason></Acknowledgement_MarketDocument>"""

"""Day-ahead prices and generation by kind from the ENTSO-E Transparency Platform."""

from datetime import datetime

import httpx
import numpy as np

from digital_twin.adapters.entsoe_documents import MarketDocument, Period, PublishedSeries, joined, read_document
from digital_twin.adapters.web_source import Reply, WebSource
from digital_twin.domain.bidding_zones import BiddingZone
from digital_twin.domain.errors import InsufficientData, InvalidInput, NotAllowed
from digital_twin.domain.generation_mix import GenerationMix
from digital_twin.domain.time import TimeGrid
from digital_twin.services.ports import Clock, MixAnswer, PriceAnswer

NAME = "entsoe"
KW_PER_MW = KWH_PER_MWH = 1000.0

_KINDS = {
    "B01": "biomass",
    "B02": "lignite",
    "B03": "coal_gas",
    "B04": "gas",
    "B05": "hard_coal",
    "B06": "oil",
    "B07": "oil_shale",
    "B08": "peat",
    "B09": "geothermal",
    "B10": "pumped_storage",
    "B11": "run_of_river",
    "B12": "reservoir",
    "B13": "marine",
    "B14": "nuclear",
    "B15": "other_renewable",
    "B16": "solar",
    "B17": "waste",
    "B18": "wind_offshore",
    "B19": "wind_onshore",
    "B20": "other",
    "B25": "storage",
}
"""Source: ENTSO-E, RESTful API user guide, appendix A.5 (psrType)."""

_MEDIA_TYPES = ("text/xml", "application/xml")
_TIME = "%Y%m%d%H%M"


class Entsoe:
    """The ports `PriceSource` and `MixSource`."""

    name = NAME

    def __init__(self, web: WebSource, clock: Clock, *, address: str, token: str | None) -> None:
        self._web = web
        self._clock = clock
        self._address = address
        self._token = token

    async def day_ahead(self, zone: BiddingZone, start: datetime, end: datetime) -> PriceAnswer:
        query = {
            "documentType": "A44",
            "contract_MarketAgreement.type": "A01",
            "in_Domain": zone.code,
            "out_Domain": zone.code,
        }
        document, asked_at = await self._ask(query, start, end, root="Publication_MarketDocument", value="price.amount")
        auction = [one for one in document.series if _is_main_auction(one)]
        if not auction:
            raise InsufficientData("entsoe has published no day-ahead prices for this time and zone yet")
        for one in auction:
            _check(one, {"in_Domain.mRID": zone.code, "price_Measure_Unit.name": "MWH"})
        currencies = {one.said.get("currency_Unit.name", "") for one in auction}
        if len(currencies) != 1 or len(currency := currencies.pop()) != 3:
            raise InvalidInput("entsoe answers with prices in several currencies, or in none")
        prices = _joined([period for one in auction for period in one.periods])
        return PriceAnswer(self._issued_at(document), asked_at, currency, prices.grid, prices.values / KWH_PER_MWH)

    async def generation(self, zone: BiddingZone, start: datetime, end: datetime) -> MixAnswer:
        query = {"documentType": "A75", "processType": "A16", "in_Domain": zone.code}
        document, asked_at = await self._ask(query, start, end, root="GL_MarketDocument", value="quantity")
        periods: dict[str, list[Period]] = {}
        for one in document.series:
            if "outBiddingZone_Domain.mRID" in one.said:
                continue  # what storage takes
            _check(one, {"inBiddingZone_Domain.mRID": zone.code, "quantity_Measure_Unit.name": "MAW"})
            kind = _KINDS.get(one.said.get("psrType", ""))
            if kind is not None:
                periods.setdefault(kind, []).extend(one.periods)
        told = {kind: _joined(parts) for kind, parts in periods.items()}
        if not told:
            raise InsufficientData("entsoe has published no generation for this time and zone yet")
        return MixAnswer(self._issued_at(document), asked_at, _mix(told))

    async def _ask(
        self, query: dict[str, str], start: datetime, end: datetime, *, root: str, value: str
    ) -> tuple[MarketDocument, datetime]:
        """The document, and when the platform was asked for it."""
        if self._token is None:
            raise NotAllowed("entsoe answers only who has a token: set ENTSOE_API_TOKEN")
        span = {"periodStart": f"{start:{_TIME}}", "periodEnd": f"{end:{_TIME}}"}

        def read(reply: Reply) -> tuple[MarketDocument, datetime]:
            if reply.media_type not in _MEDIA_TYPES:
                raise InvalidInput(f"entsoe answers with {reply.media_type or 'no media type'}, not XML")
            document = read_document(reply.body, root=root, document_type=query["documentType"], value=value)
            return document, reply.asked_at

        return await self._web.get(self._address, {**query, **span}, read, secrets={"securityToken": self._token})

    def _issued_at(self, document: MarketDocument) -> datetime:
        """When the platform made the document; never later than now, whatever its clock says."""
        return min(document.created_at, self._clock.now())


def _is_main_auction(series: PublishedSeries) -> bool:
    """Zones with several day-ahead auctions number them; the first is the coupled one, published around noon."""
    contract = series.said.get("contract_MarketAgreement.type", "A01")
    sequence = series.said.get("classificationSequence_AttributeInstanceComponent.position", "1")
    return contract == "A01" and sequence == "1"


def _check(series: PublishedSeries, wanted: dict[str, str]) -> None:
    for element, value in wanted.items():
        if series.said.get(element) != value:
            raise InvalidInput(f"entsoe answers with {element} {series.said.get(element)!r}, asked for {value!r}")


def _joined(periods: list[Period]) -> Period:
    if not periods:
        raise InvalidInput("entsoe answers with a time series that has no period")
    return joined(periods)


def _mix(told: dict[str, Period]) -> GenerationMix:
    start, end = min(one.grid.start for one in told.values()), max(one.grid.end for one in told.values())
    grid = TimeGrid.spanning(start, end, next(iter(told.values())).grid.step_minutes)
    generation_kw = {}
    for kind, one in told.items():
        first = round((one.grid.start - start) / grid.step)
        generation_kw[kind] = np.full(grid.steps, np.nan)
        generation_kw[kind][first : first + one.grid.steps] = one.values * KW_PER_MW
    return GenerationMix(grid, generation_kw)


def entsoe(client: httpx.AsyncClient, clock: Clock, *, address: str, token: str | None) -> Entsoe:
    """The platform at this address."""
    return Entsoe(WebSource(client, NAME, clock), clock, address=address, token=token)

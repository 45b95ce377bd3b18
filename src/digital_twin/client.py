"""The public Python client of the HTTP API; the command line uses it and nothing else.

with TwinClient("http://localhost:8000", api_key="dt_live_...") as twin:
    plan = twin.dispatch("green_village", objective="minimize_cost")
"""

# pyarrow has no types of its own
# pyright: reportUnknownParameterType=false

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import httpx

from digital_twin import client_tables as tables
from digital_twin.client_connection import Connection, Tokens, no_address, plain
from digital_twin.client_errors import SignInNeeded, error_of
from digital_twin.client_members import MemberPlanClient
from digital_twin.client_plans import PlanClient
from digital_twin.domain import errors
from digital_twin.domain.identifiers import check_identifier
from digital_twin.domain.readings import SeriesValues

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Document", "SignInNeeded", "Tokens", "TwinClient"]

Document = dict[str, Any]

ARROW = "application/vnd.apache.arrow.stream"
ARROW_FROM = 10_000
"""So many values are sent as Arrow: below, JSON is as quick and names refused ones by series."""


class TwinClient:
    """A connection to one installation; errors come back as the domain's own.

    Raises (every method):
        Unavailable: no answer, or the API asks to try later.
        SignInNeeded: no, or no longer valid, credentials.
        TwinError: whatever the API's problem says.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        tokens: Tokens | None = None,
        on_refresh: Callable[[Tokens], None] | None = None,
        forwarded_for: str | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        """With tokens, an expired access token is refreshed once; `on_refresh` is told the new pair.

        `forwarded_for` is the address of the person on whose behalf this program asks; the API believes it where its
        TRUSTED_PROXIES names this program.
        """
        headers = {} if forwarded_for is None else {"X-Forwarded-For": forwarded_for}
        try:
            http = httpx.Client(base_url=url, timeout=timeout_s, headers=headers)
        except httpx.InvalidURL as error:
            raise no_address(url) from error
        self._connection = Connection(http, api_key=api_key, tokens=tokens, on_refresh=on_refresh)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    # Access

    def register(self, username: str, email: str, password: str, role: str) -> Document:
        """The new account."""
        body = {"username": username, "email": email, "password": password, "role": role}
        return self._json("POST", "/auth/register", body)

    def login(self, username: str, password: str) -> Tokens:
        """Log in; the client uses the tokens from here on."""
        answer = self._json("POST", "/auth/login", {"username": username, "password": password})
        self._connection.tokens = Tokens(answer["access_token"], answer["refresh_token"])
        return self._connection.tokens

    def logout(self) -> None:
        """End the session that a log-in began; its tokens are dead at once."""
        self._connection.send("POST", "/auth/logout")
        self._connection.tokens = None

    def me(self) -> Document:
        """Who is signed in."""
        return self._json("GET", "/auth/me")

    # Communities

    def create_community(self, community: Mapping[str, Any]) -> Document:
        return self._json("POST", "/communities", dict(community))

    def community(self, community_id: str) -> Document:
        return self._json("GET", f"/communities/{community_id}")

    def communities(self) -> Iterator[Document]:
        """All of the caller's communities, page by page."""
        yield from self._pages("/communities", "communities")

    def put_members(self, community_id: str, members: Sequence[Mapping[str, Any]]) -> Document:
        return self._json("POST", f"/communities/{community_id}/members", {"members": list(members)})

    def members(self, community_id: str) -> list[Document]:
        return self._json("GET", f"/communities/{community_id}/members")["members"]

    def put_assets(self, community_id: str, assets: Sequence[Mapping[str, Any]]) -> Document:
        return self._json("POST", f"/communities/{community_id}/assets", {"assets": list(assets)})

    def put_membership(self, community_id: str, username: str, role: str) -> Document:
        """Give an account a right in the community."""
        body = {"username": username, "role": role}
        return self._json("PUT", f"/communities/{community_id}/memberships", body)

    # Readings

    def record(
        self,
        community_id: str,
        readings: Sequence[SeriesValues],
        *,
        assumed_delay_minutes: int | None = None,
        idempotency_key: str | None = None,
        lenient: bool = False,
    ) -> Document:
        """Store readings, all or none; when this returns they are committed.

        A lenient one stores what is believable, and its answer names the others.
        """
        request = _delivery(assumed_delay_minutes, idempotency_key, lenient=lenient)
        if sum(series.values.size for series in readings) >= ARROW_FROM:
            return self._record(community_id, tables.table(readings), request)
        body: Document = {"series": [tables.column(series) for series in readings]}
        return self._json("POST", f"/communities/{community_id}/readings", body, **request)

    def record_table(
        self,
        community_id: str,
        table: Any,
        *,
        assumed_delay_minutes: int | None = None,
        idempotency_key: str | None = None,
        lenient: bool = False,
    ) -> Document:
        """The same for a table of pyarrow, pandas or polars, of any length.

        It has the columns series, start (with a time zone) and value, and may have member_id, asset_id,
        resolution_minutes and quality.
        """
        request = _delivery(assumed_delay_minutes, idempotency_key, lenient=lenient)
        return self._record(community_id, tables.arrow_table(table), request)

    def _record(self, community_id: str, table: "pa.Table", request: Document) -> Document:
        headers = {**request.pop("headers"), "Content-Type": ARROW}
        content = tables.ArrowStream(table)
        return self._json("POST", f"/communities/{community_id}/readings", content=content, headers=headers, **request)

    def series(self, community_id: str) -> list[Document]:
        """What is stored."""
        return self._json("GET", f"/communities/{community_id}/series")["series"]

    def readings(
        self, community_id: str, names: Sequence[str], start: datetime, end: datetime, **options: Any
    ) -> list[Document]:
        """Readings as columns. Options: member_id, asset_id, resolution, as_of."""
        return self._json("GET", f"/communities/{community_id}/readings", params=_query(names, start, end, options))[
            "series"
        ]

    def readings_table(
        self, community_id: str, names: Sequence[str], start: datetime, end: datetime, **options: Any
    ) -> "pa.Table":
        """The same as a table with a row for each reading there is, of any length."""
        path, params = f"/communities/{community_id}/readings", _query(names, start, end, options)
        return tables.read_table(self._connection.send("GET", path, params=params, headers={"Accept": ARROW}).content)

    def download(
        self,
        community_id: str,
        names: Sequence[str],
        start: datetime,
        end: datetime,
        *,
        file: BinaryIO,
        media_type: str = "text/csv",
        **options: Any,
    ) -> None:
        """Write the same into a file, piece by piece: as CSV, Arrow or Parquet."""
        path, params = f"/communities/{community_id}/readings", _query(names, start, end, options)
        for piece in self._connection.download(path, params=params, headers={"Accept": media_type}):
            file.write(piece)

    def quality(
        self, community_id: str, start: datetime, end: datetime, names: Sequence[str] = (), **options: Any
    ) -> Document:
        """How far readings can be trusted. Options: member_id, asset_id, as_of, limit, cursor."""
        params = plain({"series": ",".join(names) or None, "start": start, "end": end, **options})
        return self._json("GET", f"/communities/{community_id}/readings/quality", params=params)

    # Keeping

    def retention(self, community_id: str) -> Document:
        """For how many days readings, and what was known of them when, are kept; None is for ever."""
        return self._json("GET", f"/communities/{community_id}/retention")

    def retain(self, community_id: str, *, readings_days: int | None, journal_days: int | None) -> Document:
        """Keep them so long from now on; what is older is removed for good."""
        body = {"readings_days": readings_days, "journal_days": journal_days}
        return self._json("PUT", f"/communities/{community_id}/retention", body)

    def erase_member(self, community_id: str, member_id: str) -> Document:
        """Erase a member with everything that is theirs, for good; what was removed."""
        check_identifier(member_id, "member_id")  # `..` would be another address
        return self._json("DELETE", f"/communities/{community_id}/members/{member_id}")

    # States

    def state(self, community_id: str, *, as_of: datetime | None = None) -> Document:
        """What is happening now, or was known to happen then."""
        return self._json("GET", f"/communities/{community_id}/state", params=plain({"as_of": as_of}))

    def state_history(self, community_id: str, start: datetime, end: datetime, *, hindsight: bool = False) -> Document:
        """The same for past intervals, as columns; with hindsight by what was read later in the span, too."""
        params = plain({"start": start, "end": end, "hindsight": hindsight or None})
        return self._json("GET", f"/communities/{community_id}/state/history", params=params)

    def state_prediction(self, community_id: str, hours: int = 24, *, as_of: datetime | None = None) -> Document:
        """The same for the hours ahead, each with its 95 % band, from what is known now or was known then."""
        params = plain({"hours": hours, "as_of": as_of})
        return self._json("GET", f"/communities/{community_id}/state/prediction", params=params)

    def state_meters(self, community_id: str, *, limit: int = 20, cursor: str | None = None) -> Document:
        """How each meter fares, the one whose readings would help most first."""
        params = plain({"limit": limit, "cursor": cursor})
        return self._json("GET", f"/communities/{community_id}/state/meters", params=params)

    # Forecasts and plans

    def forecast(self, community_id: str, **request: Any) -> Document:
        """A forecast. Fields as in `POST .../forecasting/generate`."""
        return self._json("POST", f"/communities/{community_id}/forecasting/generate", plain(request))

    def train(self, community_id: str, **request: Any) -> Document:
        """The Run that trains forecasting models. Fields as in `POST .../forecasting/train`; none trains them all."""
        return self._json("POST", f"/communities/{community_id}/forecasting/train", plain(request))

    def models(self, community_id: str) -> Document:
        """The registered forecasting models, their trained versions with scores and members' weights, and drift."""
        return self._json("GET", f"/communities/{community_id}/forecasting/models")

    def patterns(self, community_id: str, **options: Any) -> Document:
        """What is typical of homes and days. Options: days, member_id, as_of, limit, cursor."""
        return self._json("GET", f"/communities/{community_id}/forecasting/patterns", params=plain(options))

    def forecast_accuracy(self, community_id: str, **span: Any) -> Document:
        """How good the forecasts were that were issued each midnight. Span: start, end, variable."""
        return self._json("GET", f"/communities/{community_id}/forecasting/accuracy", params=plain(span))

    def kpis(self, community_id: str, **span: Any) -> Document:
        """What a community used of its own sun, paid and saved. Span: start, end, as_of."""
        return self._json("GET", f"/communities/{community_id}/kpis", params=plain(span))

    def issued_forecasts(self, community_id: str, **span: Any) -> Document:
        """The forecasts of up to 31 days as they were issued, each beside what happened. Span as for accuracy."""
        return self._json("GET", f"/communities/{community_id}/forecasting/issued", params=plain(span))

    def backtest(self, community_id: str, models: Sequence[str], **request: Any) -> Document:
        """The Run that asks models at past midnights. Fields as in `POST .../forecasting/backtest`."""
        body = {"models": list(models), **plain(request)}
        return self._json("POST", f"/communities/{community_id}/forecasting/backtest", body)

    def backtest_result(self, community_id: str, result_id: str) -> Document:
        """What a backtest came to."""
        return self._json("GET", f"/communities/{community_id}/forecasting/backtest/{result_id}")

    def dispatch(self, community_id: str, **request: Any) -> Document:
        """A dispatch plan, or for many members the Run that makes it. Fields as in `POST .../optimization/dispatch`."""
        return self._json("POST", f"/communities/{community_id}/optimization/dispatch", plain(request))

    @property
    def member_plans(self) -> MemberPlanClient:
        """What is asked about members' parts of a plan."""
        return MemberPlanClient(self._connection)

    @property
    def plans(self) -> PlanClient:
        """What is asked about plans that are kept."""
        return PlanClient(self._connection)

    def design_tariff(self, community_id: str, **request: Any) -> Document:
        """The tariff that maximises welfare. Fields as in `POST .../optimization/tariff`."""
        return self._json("POST", f"/communities/{community_id}/optimization/tariff", plain(request))

    def results(self, community_id: str) -> Iterator[Document]:
        """Stored results, newest first, page by page."""
        yield from self._pages(f"/communities/{community_id}/optimization/results", "results")

    def result(self, community_id: str, result_id: str) -> Document:
        return self._json("GET", f"/communities/{community_id}/optimization/results/{result_id}")

    # Scenarios

    def run_scenario(self, community_id: str, **request: Any) -> Document:
        """The Run that simulates a scenario. Fields as in `POST .../simulation/run-scenario`."""
        return self._json("POST", f"/communities/{community_id}/simulation/run-scenario", plain(request))

    def run_multiple(self, community_id: str, scenarios: Sequence[Mapping[str, Any]], **request: Any) -> Document:
        """The Run that compares scenarios on the same simulated years."""
        body = {"scenarios": [dict(one) for one in scenarios], **plain(request)}
        return self._json("POST", f"/communities/{community_id}/simulation/run-multiple", body)

    def simulation_result(self, community_id: str, result_id: str) -> Document:
        """What scenarios came to."""
        return self._json("GET", f"/communities/{community_id}/simulation/results/{result_id}")

    # Runs

    def runs(self, community_id: str) -> Iterator[Document]:
        """A community's Runs, newest first, page by page."""
        yield from self._pages("/runs", "runs", {"community_id": community_id})

    def run(self, run_id: str, *, wait_s: int = 0) -> Document:
        """Where a Run stands; with `wait_s` when it has ended, or after so long."""
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
        return self._json("GET", f"/runs/{run_id}", headers=headers)

    def wait_for(self, run: Document, on_progress: Callable[[Document], None] | None = None) -> Document:
        """The Run when it has succeeded; meanwhile `on_progress` is told where it stands.

        Raises:
            TwinError: why the Run failed.
            Conflict: it was cancelled.
        """
        while run["state"] in ("queued", "running"):
            if on_progress is not None:
                on_progress(run)
            run = self.run(run["run_id"], wait_s=1 if on_progress is not None else 20)
        if on_progress is not None:
            on_progress(run)
        if run["state"] == "failed":
            raise error_of(run["problem"], errors.Unavailable)
        if run["state"] == "cancelled":
            raise errors.Conflict(f"the run {run['run_id']} was cancelled")
        return run

    def cancel(self, run_id: str) -> Document:
        """End a Run now."""
        return self._json("DELETE", f"/runs/{run_id}")

    # The installation

    def is_ready(self) -> bool:
        """Whether the server and everything it needs answer now."""
        try:
            return bool(self._json("GET", "/health/ready")["database"])
        except errors.Unavailable:
            return False

    def version(self) -> Document:
        return self._json("GET", "/version")

    def _pages(self, path: str, name: str, query: Mapping[str, Any] | None = None) -> Iterator[Document]:
        params = dict(query or {})
        while True:
            page = self._json("GET", path, params=params)
            yield from page[name]
            if page["next"] is None:
                return
            params = {**(query or {}), "cursor": page["next"]}

    def _json(self, method: str, path: str, body: Document | None = None, **options: Any) -> Document:
        response = self._connection.send(method, path, **({} if body is None else {"json": body}), **options)
        try:
            return response.json()
        except ValueError as error:
            raise errors.Unavailable(f"what answers at {self._connection.url} is no digital twin") from error


def _delivery(assumed_delay_minutes: int | None, idempotency_key: str | None, *, lenient: bool) -> Document:
    """How readings are to be taken, as parts of a request."""
    headers = {"Idempotency-Key": idempotency_key, "Prefer": "handling=lenient" if lenient else None}
    return {"headers": plain(headers), "params": plain({"assumed_delay_minutes": assumed_delay_minutes})}


def _query(names: Sequence[str], start: datetime, end: datetime, options: Mapping[str, Any]) -> dict[str, Any]:
    return plain({"series": ",".join(names), "start": start, "end": end, **options})

"""Readings as tests send and read them over HTTP."""

from collections.abc import Sequence
from typing import Any

import httpx
from tests.api.application import answered

MONDAY = "2026-03-02T00:00:00Z"
HOUR = {"start": MONDAY, "end": "2026-03-02T01:00:00Z"}
CSV = {"Content-Type": "text/csv"}
SINGLE = 1e-6
"""Relative: readings are kept in single precision."""


def column(values: Sequence[float | None], name: str = "load_kw", **given: Any) -> dict[str, Any]:
    plain = {"name": name, "unit": "kW", "kind": "mean", "start": MONDAY, "resolution_minutes": 15}
    return {**plain, "values": list(values), **given}


def send(client: httpx.Client, community_id: str, *columns: dict[str, Any], key: str | None = None, **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    document = {"series": list(columns), **body}
    return answered(client.post(f"/communities/{community_id}/readings", json=document, headers=headers))


def send_csv(client: httpx.Client, community_id: str, text: str, **headers: str) -> httpx.Response:
    return client.post(f"/communities/{community_id}/readings", content=text.encode(), headers={**CSV, **headers})


def read(client: httpx.Client, community_id: str, series: str = "load_kw", **params: str) -> list[Any]:
    query = {"series": series, **HOUR, **params}
    return answered(client.get(f"/communities/{community_id}/readings", params=query))["series"]


def values_of(client: httpx.Client, community_id: str, series: str = "load_kw", **params: str) -> list[float | None]:
    [found] = read(client, community_id, series, **params)
    return found["values"]


def counts(receipt: Any) -> tuple[int, int, int, int, int, int]:
    """Received, stored, duplicate, corrected, superseded, rejected."""
    names = ("received", "stored", "duplicate", "corrected", "superseded", "rejected_count")
    return tuple(receipt[name] for name in names)  # type: ignore[return-value]


def add_members(client: httpx.Client, community_id: str, *members: str | dict[str, Any]) -> None:
    bodies = [{"member_id": one} if isinstance(one, str) else one for one in members]
    answered(client.post(f"/communities/{community_id}/members", json={"members": bodies}), 201)

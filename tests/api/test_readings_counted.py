"""Readings over HTTP are counted exactly once, whatever is sent again, and known from when they came."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests import builders
from tests.api.application import EIGHT_NUMBERS, Api, answered, refused
from tests.api.readings import column, counts, send, values_of

from digital_twin.domain.errors import InvalidInput
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.reading_parts import Delivery
from digital_twin.services.readings import IngestReport, ReadingService
from digital_twin.testing import FakeClock, MemoryStore


def test_counts_add_up_for_new_same_changed_and_doubled_readings(operator: httpx.Client, community: str):
    assert counts(send(operator, community, column([1, 2, 3]))) == (3, 3, 0, 0, 0, 0)
    # same, changed, and new; a gap erases nothing
    assert counts(send(operator, community, column([1, 5, None, 4]))) == (3, 1, 1, 1, 0, 0)
    assert values_of(operator, community) == [1, 5, 3, 4]
    # within one batch the last value of a slot wins
    assert counts(send(operator, community, column([7.0]), column([8.0]), column([8.0]))) == (3, 0, 1, 1, 1, 0)
    assert values_of(operator, community)[0] == 8


def test_a_key_counts_once_and_for_one_body(operator: httpx.Client, community: str):
    first = send(operator, community, column([1, 2]), key="batch-1")
    send(operator, community, column([7]))
    response = operator.post(
        f"/communities/{community}/readings",
        json={"series": [column([1, 2])]},
        headers={"Idempotency-Key": "batch-1"},
    )
    assert answered(response) == {**first, "replayed": True}
    assert response.headers["idempotent-replayed"] == "true"
    assert values_of(operator, community)[:2] == [7, 2]
    other = operator.post(
        f"/communities/{community}/readings",
        json={"series": [column([9, 9])]},
        headers={"Idempotency-Key": "batch-1"},
    )
    refused(other, 422)
    assert values_of(operator, community)[:2] == [7, 2]


def test_a_key_of_another_account_or_community_is_another_key(api: Api, operator: httpx.Client, community: str):
    second = api.community(operator)
    gateway = api.key(operator, [community], "readings:write")
    colleague = api.member_of(community, "operator")
    assert send(operator, community, column([1]), key="k")["stored"] == 1
    assert send(operator, second, column([2]), key="k")["stored"] == 1
    assert send(colleague, community, column([3]), key="k")["corrected"] == 1
    assert send(gateway, community, column([1]), key="k")["replayed"]


def test_a_community_that_is_made_again_has_not_seen_the_keys_of_the_first(
    api: Api, operator: httpx.Client, community: str
):
    path, once, members = f"/communities/{community}", {"Idempotency-Key": "once"}, {"members": [{"member_id": "h1"}]}
    created = operator.get(path).json()
    answered(operator.post(f"{path}/members", json=members, headers=once), 201)
    send(operator, community, column([1]), key="once")
    answered(operator.delete(path), 204)
    eight = {name: created[name] for name in ("community_id", *EIGHT_NUMBERS)}
    answered(operator.post("/communities", json=eight), 201)
    again = operator.post(f"{path}/members", json=members, headers=once)
    answered(again, 201)
    assert "idempotent-replayed" not in again.headers
    assert send(operator, community, column([2], member_id="h1"), key="once")["stored"] == 1


async def test_a_key_that_is_forgotten_swallows_no_other_readings():
    store = MemoryStore()
    async with store.platform() as tx:
        await tx.communities.create(builders.community())
    service, grant = ReadingService(store, FakeClock()), Grant(Caller(7, "gateway", Role.API_USER), "solar_valley")

    async def record(value: float) -> IngestReport:
        readings = [builders.series("load_kw", [value])]
        return await service.record(grant, readings, Delivery("1", str(value).encode()))

    assert (await record(1)).receipt.stored == 1
    assert (await record(1)).receipt.replayed
    with pytest.raises(InvalidInput, match="another body"):
        await record(2)
    async with store.community("solar_valley") as tx:  # as happens a day later
        await tx.replays.release("readings solar_valley", "7:1")
    assert (await record(2)).receipt.corrected == 1


def test_a_correction_is_known_from_when_it_came(operator: httpx.Client, community: str):
    first = send(operator, community, column([1, 2]))
    second = send(operator, community, column([5, None, 3]))
    assert values_of(operator, community, as_of=first["received_at"]) == [1, 2, None, None]
    assert values_of(operator, community, as_of=second["received_at"]) == [5, 2, 3, None]
    before = (datetime.fromisoformat(first["received_at"]) - timedelta(microseconds=1)).isoformat()
    assert values_of(operator, community, as_of=before) == [None] * 4


def test_imported_history_counts_as_known_after_its_delay(operator: httpx.Client, community: str):
    send(operator, community, column([1, 2, 3, 4]), assumed_delay_minutes=60)
    assert values_of(operator, community, as_of="2026-03-02T01:29:59Z") == [1, None, None, None]
    assert values_of(operator, community, as_of="2026-03-02T01:30:00Z") == [1, 2, None, None]
    assert values_of(operator, community) == [1, 2, 3, 4]


def test_batches_at_once_are_counted_exactly(operator: httpx.Client, community: str):
    def one(number: int) -> Any:
        return send(operator, community, column([number, 1, None, number]), key=f"batch {number}")

    with ThreadPoolExecutor(6) as threads:
        receipts = list(threads.map(one, range(6)))
    totals = np.sum([counts(receipt) for receipt in receipts], axis=0).tolist()
    # slot 2 is stored once and then repeated; slots 1 and 4 are stored once and then corrected by five others
    assert totals == [18, 3, 5, 10, 0, 0]
    last = max(receipts, key=lambda receipt: receipt["received_at"])
    assert values_of(operator, community, as_of=last["received_at"]) == values_of(operator, community)
    assert len({receipt["received_at"] for receipt in receipts}) == 6

"""The same readings in random orders, each three times, from several senders at once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import numpy as np
from tests.faults.audit import stored_values
from tests.faults.disturbance import register
from tests.faults.ledger import SLOTS, Batch, Values
from tests.faults.sender import json_columns

MEMBERS, DAYS, PIECES_A_DAY, COPIES, AT_ONCE = 4, 5, 3, 3, 3
LATE_DAYS = 30
"""The days are so far apart: the last may come before the first."""


@dataclass(frozen=True, slots=True)
class OrdersTried:
    """In how many orders the same was stored in the end, and every copy but one was counted as a duplicate."""

    tried: int
    same_values: int
    exact_counts: int


def try_orders(client: httpx.Client, *, tried: int, seed: int) -> OrdersTried:
    chance = np.random.default_rng(seed)
    pieces = _pieces(chance)
    wanted = _together(pieces)
    size = int(np.isfinite(wanted).sum())
    exact = {"received": COPIES * size, "stored": size, "duplicate": (COPIES - 1) * size, "corrected": 0}
    same_values = exact_counts = 0
    for number in range(tried):
        community = f"order_{number}"
        register(client, community, MEMBERS)
        order = chance.permutation(np.repeat(np.arange(len(pieces)), COPIES))
        counts = _send(client, community, [pieces[index] for index in order])
        exact_counts += all(counts[name] == count for name, count in exact.items())
        strangers, stored = stored_values(client, community, MEMBERS, wanted.shape[1] // SLOTS)
        same_values += not strangers and np.array_equal(stored, wanted, equal_nan=True)
    return OrdersTried(tried, same_values, exact_counts)


def _pieces(chance: np.random.Generator) -> list[Batch]:
    """Each slot of each day in one piece, with the slots dealt out at random."""
    pieces: list[Batch] = []
    for day in range(0, DAYS * LATE_DAYS, LATE_DAYS):
        values = chance.uniform(0.01, 9, (MEMBERS, SLOTS)).astype(np.float32)
        piece = chance.integers(PIECES_A_DAY, size=values.shape)
        for number in range(PIECES_A_DAY):
            own = np.where(piece == number, values, np.float32(np.nan))
            pieces.append(Batch(f"{day}-{number}", "columns", day, 0, own))
    return pieces


def _together(pieces: list[Batch]) -> Values:
    days = 1 + max(piece.day for piece in pieces)
    values = np.full((MEMBERS, days * SLOTS), np.nan, np.float32)
    for piece in pieces:
        own = values[:, piece.day * SLOTS : (piece.day + 1) * SLOTS]
        own[np.isfinite(piece.values)] = piece.values[np.isfinite(piece.values)]
    return values


def _send(client: httpx.Client, community: str, pieces: list[Batch]) -> Counter[str]:
    """Without an idempotency key: it is by their values that copies are known."""

    def post(piece: Batch) -> dict[str, int]:
        headers = {"Content-Type": "application/json"}
        answer = client.post(f"/communities/{community}/readings", content=json_columns(piece), headers=headers)
        receipt = answer.raise_for_status().json()
        return {name: receipt[name] for name in ("received", "stored", "duplicate", "corrected")}

    counts = Counter[str]()
    with ThreadPoolExecutor(AT_ONCE) as senders:
        for receipt in senders.map(post, pieces):
            counts.update(receipt)
    return counts

"""A meter operator who never dies: sends batches until they are acknowledged, and keeps a ledger of it.

As a process: `python -m tests.faults.sender URL COMMUNITY LEDGER FIRST_MEMBER MEMBERS SEED` with a token in TOKEN. It
prints a line for each acknowledgement and ends, with its last batch acknowledged, when its standard input closes.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pyarrow as pa
from tests.faults.ledger import SERIES, SLOTS, Acknowledged, Batch, Ledger, Seen, Values, Way, member_id, midnight

PATIENCE_S = 300.0
PAUSE_S = 0.05
ATTEMPT_TIMEOUT_S = 60.0
WAYS: tuple[Way, ...] = ("columns", "csv", "arrow", "run", "once", "cut")
LATEST_DAYS = 40
"""So many days back reach corrections."""


class Meters:
    """What the meters of some members say: new days, days that are half known, corrections and repetitions."""

    def __init__(self, first_member: int, members: int, seed: int, *, runs: bool = True) -> None:
        self._first_member, self._members = first_member, members
        self._random = np.random.default_rng([seed, first_member])
        self._shares = np.array([0.5, 0.15, 0.1, 0.1 if runs else 0.0, 0.1, 0.05])
        self._known: dict[int, Values] = {}
        self._next_day = 0

    def batches(self) -> Iterator[Batch]:
        """Without end. What is sent once or cut has a day of its own, of which nothing else ever speaks."""
        number = 0
        while True:
            way = WAYS[self._random.choice(len(WAYS), p=self._shares / self._shares.sum())]
            number += 1
            key = f"{self._first_member}-{number}"
            if way in ("once", "cut"):
                yield Batch(key, way, self._new_day(), self._first_member, self._fresh())
            else:
                yield self._kept(key, way)

    def _kept(self, key: str, way: Way) -> Batch:
        if not self._known or self._random.random() < 0.6:
            day, before = self._new_day(), np.full((self._members, SLOTS), np.nan, np.float32)
        else:
            day = int(self._random.choice(list(self._known)[-LATEST_DAYS:]))
            before = self._known[day]
        is_said = self._random.random((self._members, SLOTS)) < self._random.choice([1.0, 0.5, 0.1])
        is_said[0, 0] = True
        is_repeated = np.isfinite(before) & (self._random.random() < 0.3)
        values = np.where(is_repeated, before, np.where(is_said, self._fresh(), np.float32(np.nan)))
        self._known[day] = np.where(np.isfinite(values), values, before)
        return Batch(key, way, day, self._first_member, values)

    def _new_day(self) -> int:
        self._next_day += 1
        return self._next_day - 1

    def _fresh(self) -> Values:
        return self._random.uniform(0.01, 9, (self._members, SLOTS)).astype(np.float32)


class Sender:
    """Sends batches to one community, one after the other."""

    def __init__(self, client: httpx.Client, community: str, ledger: Ledger) -> None:
        self._client = client
        self._address = f"/communities/{community}/readings"
        self._ledger = ledger
        self._acknowledged = 0

    def send(self, batch: Batch) -> bool:
        """Whether it was acknowledged, which all but those sent once and those cut are in the end."""
        self._ledger.write(batch)
        if batch.way == "cut":
            self._cut(batch)
            return False
        attempts = Attempts()
        answer = self._post(batch, attempts)
        if answer is None:
            return False
        receipt = self._outcome_of(answer.json(), attempts) if answer.status_code == 202 else answer.json()
        self._ledger.write(
            Acknowledged(
                batch.key, receipt, attempts.sent_at, time.monotonic(), attempts.number, attempts.longest_wait_s
            )
        )
        self._acknowledged += 1
        if self._acknowledged % 5 == 0:
            self._look_back(batch, receipt["received_at"])
        return True

    def _post(self, batch: Batch, attempts: "Attempts") -> httpx.Response | None:
        content_type, encode = FORMATS.get(batch.way, (JSON, json_columns))
        headers = {"Idempotency-Key": batch.key, "Content-Type": content_type}
        if batch.way == "run":
            headers["Prefer"] = "respond-async"
        body = encode(batch)

        def post() -> httpx.Response:
            return self._client.post(self._address, content=body, headers=headers)

        return attempts.once(post) if batch.way == "once" else attempts.until_answered(post)

    def _outcome_of(self, run: dict[str, Any], attempts: "Attempts") -> dict[str, Any]:
        """The receipt of a Run, once it has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while run["state"] != "succeeded":
            if run["state"] in ("failed", "cancelled") or time.monotonic() > deadline:
                raise RuntimeError(f"an import does not succeed: {run}")
            time.sleep(PAUSE_S)
            run = self._get(f"/runs/{run['run_id']}", attempts)
        return self._get(run["links"]["result"], attempts)

    def _get(self, address: str, attempts: "Attempts") -> dict[str, Any]:
        return attempts.until_answered(lambda: self._client.get(address)).json()

    def _cut(self, batch: Batch) -> None:
        """Send half of a body that is streamed in, of which the end was promised, and hang up."""
        content_type, encode = FORMATS["arrow" if batch.day % 2 else "csv"]
        body = encode(batch)

        def half() -> Iterator[bytes]:
            yield body[: len(body) // 2]
            raise HungUp

        headers = {"Content-Type": content_type, "Content-Length": str(len(body)), "Idempotency-Key": batch.key}
        try:
            self._client.post(self._address, content=half(), headers=headers)
        except (HungUp, httpx.TransportError):
            return
        # an answer before the end of the body is a refusal, such as 503; what it says of others counts at the end

    def _look_back(self, batch: Batch, as_of: str) -> None:
        """Keep what is known as of the acknowledgement, to be asked again when all is over."""
        member = batch.first_member + self._acknowledged // 5 % len(batch.values)
        seen = Attempts().until_answered(lambda: day_as_of(self._client, self._address, member, batch.day, as_of))
        self._ledger.write(Seen(as_of, member, batch.day, values_of(seen)))


class Attempts:
    """Requests sent again until one is answered."""

    def __init__(self) -> None:
        self.number = 0
        self.sent_at = self.longest_wait_s = 0.0

    def until_answered(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE_S
        while (answer := self.once(ask)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError("the server never came back")
            time.sleep(PAUSE_S)
        return answer

    def once(self, ask: Callable[[], httpx.Response]) -> httpx.Response | None:
        """The answer; none when the server is away or says that it is.

        Raises:
            RuntimeError: the server refuses for another reason, or fails.
        """
        self.number += 1
        self.sent_at = time.monotonic()
        try:
            answer = ask()
        except httpx.TransportError:
            answer = None
        self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - self.sent_at)
        if answer is None or answer.status_code in (409, 503):
            return None
        if not answer.is_success:
            raise RuntimeError(f"{answer.status_code}: {answer.text[:1000]}")
        return answer


class HungUp(Exception):
    """The upload ends here."""


def json_columns(batch: Batch) -> bytes:
    common = {"name": SERIES, "unit": "kW", "start": midnight(batch.day).isoformat(), "resolution_minutes": 15}
    columns = [
        {**common, "member_id": member_id(member), "values": row}
        for member, row in zip(batch.members, batch.values, strict=True)
    ]
    return orjson.dumps({"series": columns}, option=orjson.OPT_SERIALIZE_NUMPY)


def csv_rows(batch: Batch) -> bytes:
    times = (np.datetime64(midnight(batch.day).replace(tzinfo=None)) + 15 * np.arange(SLOTS, dtype="m8[m]")).astype(str)
    lines = ["series,start,value,member_id,resolution_minutes"]
    for member, row in zip(batch.members, batch.values, strict=True):
        lines += [
            f"{SERIES},{times[slot]}Z,{row[slot]!s},{member_id(member)},15" for slot in np.flatnonzero(np.isfinite(row))
        ]
    return "\n".join(lines).encode()


def arrow_rows(batch: Batch) -> bytes:
    member, slot = np.nonzero(np.isfinite(batch.values))
    first = np.datetime64(midnight(batch.day).replace(tzinfo=None), "s")
    table = pa.table(
        {
            "series": pa.array([SERIES] * member.size),
            "start": pa.array(first + 900 * slot.astype("m8[s]"), pa.timestamp("s", "UTC")),
            "value": batch.values[member, slot],
            "member_id": pa.array([member_id(batch.first_member + int(one)) for one in member]),
            "resolution_minutes": pa.array(np.full(member.size, 15, np.int32)),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


JSON = "application/json"
FORMATS: dict[str, tuple[str, Callable[[Batch], bytes]]] = {
    "csv": ("text/csv", csv_rows),
    "arrow": ("application/vnd.apache.arrow.stream", arrow_rows),
}


def day_as_of(client: httpx.Client, address: str, member: int, day: int, as_of: str) -> httpx.Response:
    span = {"start": midnight(day).isoformat(), "end": midnight(day + 1).isoformat()}
    return client.get(address, params={"series": SERIES, "member_id": member_id(member), **span, "as_of": as_of})


def values_of(answer: httpx.Response) -> Values:
    """Of an answer about one series."""
    return np.array(answer.json()["series"][0]["values"], dtype=np.float32)


def main() -> None:
    url, community, ledger_path, first_member, members, seed = sys.argv[1:]
    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    ledger = Ledger(Path(ledger_path))
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    with httpx.Client(base_url=url, timeout=ATTEMPT_TIMEOUT_S, headers=headers) as client:
        sender = Sender(client, community, ledger)
        for batch in Meters(int(first_member), int(members), int(seed)).batches():
            if sender.send(batch):
                print(batch.key, flush=True)
            if is_over.is_set():
                return


if __name__ == "__main__":
    main()

"""The readings' store alone, against raw binary COPY of the same rows into the same kind of table.

A batch is one recent day of 10,000 meters at 15 minutes: 10,000 rows of 96 slots. The floor is COPY of these rows, made
ready beforehand, by the owner (row-level security forbids it to the application) into a table with the columns, the
primary key and the settings of ours, and its commit. Ours is everything: lock, key, merge, counts, journal, days due,
commit. A messy batch has three stretches a meter in disorder, which meet each other and half-known days: some of their
readings are new, some known, some corrected, some told twice.
"""

import asyncio
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
from numpy.typing import NDArray
from tests.builders import community

from benchmarks.measure import Result, Spread, Timings, milliseconds, report, rounds_asked, significant, take_turns
from digital_twin.adapters.postgres.database import migrate, open_pool
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.assets import Member
from digital_twin.domain.readings import Receipt, SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid

METERS, SLOTS = 10_000, 96
COPY, UPDATE = "floor: binary COPY of the same rows", "floor: bare UPDATE of all rows"
FIRST, AGAIN, CORRECTED, MESSY = "first", "sent again", "corrected", "messy partial days"
KEYS = [SeriesKey("load_kw", f"meter_{number}") for number in range(METERS)]
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
Values = NDArray[np.float64]


def day_of(number: int) -> datetime:
    return TODAY - timedelta(days=2 + number)


def messy_day_of(number: int) -> datetime:
    return TODAY - timedelta(days=18 + number)


def values_of(number: int, change_kw: float = 0.0) -> Values:
    """A day of every meter."""  # (N, S)
    return np.random.default_rng(number + 100).gamma(2, 0.3, (METERS, SLOTS)).round(3) + change_kw


def whole_day(values: Values, start: datetime) -> list[SeriesValues]:
    grid = TimeGrid(start, SLOTS, 15)
    return [SeriesValues(key, grid, day) for key, day in zip(KEYS, values, strict=True)]


def half_known_day(number: int) -> list[SeriesValues]:
    values = values_of(number)
    values[np.random.default_rng(number + 300).random(values.shape) < 0.5] = np.nan
    return whole_day(values, messy_day_of(number))


def messy_batch(number: int) -> list[SeriesValues]:
    rng, start = np.random.default_rng(number + 500), messy_day_of(number)
    values = values_of(number)
    values += rng.random(values.shape) < 0.2
    found: list[SeriesValues] = []
    for meter in rng.permutation(np.repeat(np.arange(METERS), 3)).tolist():
        first, steps = int(rng.integers(0, 64)), int(rng.integers(8, 33))
        grid = TimeGrid(start + timedelta(minutes=15 * first), steps, 15)
        found.append(SeriesValues(KEYS[meter], grid, values[meter, first : first + steps]))
    return found


def copy_rows(start: datetime, values: Values) -> bytes:
    """COPY BINARY of (community bigint, day date, series int, slots real[])."""
    head = [("n", ">i2"), ("l1", ">i4"), ("community", ">i8"), ("l2", ">i4"), ("day", ">i4"), ("l3", ">i4")]
    array = [("series", ">i4"), ("l4", ">i4"), ("array", ">i4", 5), ("slots", [("l", ">i4"), ("value", ">f4")], SLOTS)]
    rows = np.zeros(METERS, np.dtype([*head, *array]))
    rows["n"], rows["l1"], rows["l2"], rows["l3"], rows["l4"] = 4, 8, 4, 4, 20 + 8 * SLOTS
    rows["day"], rows["series"] = (start - datetime(2000, 1, 1, tzinfo=UTC)).days, np.arange(METERS)
    rows["array"] = (1, 0, 700, SLOTS, 1)  # dimensions, no nulls, real, size, lower bound
    rows["slots"]["l"], rows["slots"]["value"] = 4, values
    return b"PGCOPY\n\xff\r\n\0" + b"\0" * 8 + rows.tobytes() + b"\xff\xff"


class Floors:
    """What the server does by itself, in a table like ours."""

    def __init__(self, address: str, rounds: int) -> None:
        self._connection = psycopg.connect(address)
        options = self._connection.execute("select reloptions from pg_class where relname = 'reading_open'").fetchone()
        settings = ", ".join(options[0]) if options and options[0] else "fillfactor = 100"
        self._connection.execute(f"create table raw_rows (like reading_open including all) with ({settings})")  # type: ignore[arg-type]
        self._connection.execute("create temp table changed_rows (like reading_open)")
        self._connection.commit()
        self._ready = {number: self._rows(number, 0.0) for number in range(-1, rounds)}
        self._changed = {number: self._rows(number, 1.0) for number in range(-1, rounds)}

    def _rows(self, number: int, change_kw: float) -> bytes:
        return copy_rows(day_of(number), values_of(number, change_kw))

    def copy(self, number: int) -> None:
        self._copy("raw_rows", self._ready[number])
        self._connection.commit()

    def make_ready_to_update(self, rounds: int) -> None:
        """Have the changed values on the server, so that the update alone is timed."""
        for number in range(-1, rounds):
            self._copy("changed_rows", self._changed[number])
        self._connection.execute("analyze changed_rows")
        self._connection.commit()

    def update(self, number: int) -> None:
        self._connection.execute(
            "update raw_rows r set slots = c.slots from changed_rows c "
            "where c.day = %s and (r.community, r.day, r.series) = (c.community, c.day, c.series)",
            (day_of(number).date(),),
        )
        self._connection.commit()

    def _copy(self, table: str, rows: bytes) -> None:
        with self._connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin binary") as copy:  # type: ignore[arg-type]
            copy.write(rows)

    def close(self) -> None:
        self._connection.close()


class IntoStore:
    """Batches handed to the store, whose outcome is checked."""

    def __init__(self, store: PostgresStore, runner: asyncio.Runner, rounds: int) -> None:
        self._store, self._runner = store, runner
        numbers = range(-1, rounds)
        self._first = {number: whole_day(values_of(number), day_of(number)) for number in numbers}
        self._changed = {number: whole_day(values_of(number, 1.0), day_of(number)) for number in numbers}
        self._messy = {number: messy_batch(number) for number in numbers}
        for number in numbers:
            self._commit(half_known_day(number), f"half {number}")

    def first(self, number: int) -> None:
        self._expect(self._commit(self._first[number], f"first {number}"), "stored")

    def again(self, number: int) -> None:
        self._expect(self._commit(self._first[number], f"again {number}"), "duplicate")

    def corrected(self, number: int) -> None:
        self._expect(self._commit(self._changed[number], f"corrected {number}"), "corrected")

    def messy(self, number: int) -> None:
        receipt = self._commit(self._messy[number], f"messy {number}")
        if not min(receipt.stored, receipt.duplicate, receipt.corrected):
            raise RuntimeError(f"{receipt} is not messy")

    def _commit(self, batch: Sequence[SeriesValues], key: str) -> Receipt:
        async def record() -> Receipt:
            async with self._store.community("valley") as tx:
                return await tx.readings.record(batch, key=key)

        return self._runner.run(record())

    def _expect(self, receipt: Receipt, outcome: str) -> None:
        if getattr(receipt, outcome) != METERS * SLOTS:
            raise RuntimeError(f"{receipt} should all be {outcome}")


@contextmanager
def contestants(rounds: int) -> Generator[dict[str, Callable[[int], object]]]:
    """The floors and the store on one server."""
    with tempfile.TemporaryDirectory() as home, asyncio.Runner() as runner:
        database = EmbeddedPostgres(Path(home))
        address = database.start()
        try:
            runner.run(migrate(address))
            pool = open_pool(address, size=1)
            runner.run(pool.open())
            store = PostgresStore(pool)
            runner.run(_make_community(store))
            ours, floors = IntoStore(store, runner, rounds), Floors(address, rounds)
            floors.make_ready_to_update(rounds)
            try:
                yield {
                    COPY: floors.copy, FIRST: ours.first, AGAIN: ours.again, CORRECTED: ours.corrected,
                    UPDATE: floors.update, MESSY: ours.messy,
                }  # fmt: skip
            finally:
                floors.close()
                runner.run(pool.close())
        finally:
            database.stop()


async def _make_community(store: PostgresStore) -> None:
    async with store.platform() as tx:
        await tx.communities.create(community("valley"))
    async with store.community("valley") as tx:
        await tx.members.put_members([Member(str(key.member_id)) for key in KEYS])


def rows_of(timings: Timings) -> list[list[str]]:
    """Milliseconds, rows a second of the median, and speed against COPY and against first batches."""
    rows: list[list[str]] = []
    for name, seconds in timings.seconds.items():
        against = [
            "1" if name == floor else Spread.of(timings.seconds[floor] / seconds).text() for floor in (COPY, FIRST)
        ]
        rows.append([name, milliseconds(timings.of(name)), significant(METERS * SLOTS / float(np.median(seconds)))])
        rows[-1] += against
    return rows


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 9)
    with contestants(rounds) as work:
        timings = take_turns(work, rounds=rounds, turning=False)
    columns = ("batch", "ms: median (quartiles)", "slots a second", "speed, x COPY", "speed, x first")
    report(Result("store", columns, rows_of(timings)), "scripts/bench store")


if __name__ == "__main__":
    main()

"""Every set of real meters through `digital-twin import`: how fast, how large on disk, how long a year takes to read.

Sizes are those of the tables that hold readings, with their indexes; the journal, which as-of reads need, stands apart.
Sets are skipped by name where their data are not there.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import psycopg
from tests.cli.command_line import CommandLine
from tests.e2e.real_communities import create
from tests.e2e.serving import Installation

from benchmarks.measure import Result, report, rounds_asked, significant
from benchmarks.real_series import DATA
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres

LONGEST_READ_DAYS = 365


@dataclass(frozen=True, slots=True)
class DataSet:
    """A file of meters, and what its import has to be told."""

    name: str
    file: str
    options: tuple[str, ...]


SETS = (
    DataSet("537 homes in Switzerland", "ch_households537/meters_15min_wide.parquet", (
        "--series", "net_load_kw", "--unit", "kWh", "--timezone", "Europe/Zurich")),
    DataSet("17 homes in California", "citylearn2022/meters.parquet", (
        "--timezone", "Etc/GMT+8", "--label", "start")),
    DataSet("one home (EMHASS)", "emhass_home/home_30min.parquet", (
        "--columns", "load_w,pv_w", "--member", "home", "--label", "start")),
    DataSet("a utility's load (GEFCom2014)", "gefcom2014_load/load_temperature.parquet", (
        "--columns", "load_mw", "--series", "load_kw", "--unit", "MW", "--timezone", "Etc/GMT+5", "--label", "end")),
    DataSet("4 feeders in the Netherlands", "openstef_grid/feeders_15min.parquet", (
        "--columns", "load", "--member-column", "pid", "--series", "net_load_kw", "--unit", "MW", "--label", "start")),
    DataSet("10 substations there", "openstef_grid/substations_15min.parquet", (
        "--columns", "total_substation", "--member-column", "station", "--series", "net_load_kw", "--unit", "MW")),
    DataSet("a roof in Colorado (PVDAQ)", "pvdaq_system50/ac_power_15min.parquet", (
        "--columns", "ac_power_w", "--member", "system_50", "--series", "pv_kw", "--unit", "W")),
    DataSet("another (SERF East)", "pvdaq_system50/serf_east_2016_15min.parquet", (
        "--columns", "ac_power", "--member", "serf_east", "--series", "pv_kw", "--unit", "W", "--label", "start",
        "--negatives", "clip")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on disk."""

    readings: int
    journal: int

    @classmethod
    def of(cls, connection: psycopg.Connection) -> "Sizes":
        query = (
            "select coalesce(sum(pg_total_relation_size(oid)), 0) from pg_class where relkind = 'r' and relname ~ %s"
        )
        found = [connection.execute(query, (names,)).fetchone() for names in ("^reading_", "^journal")]
        return cls(*(int(row[0]) for row in found if row))


def row_of(line: CommandLine, connection: psycopg.Connection, one: DataSet, rounds: int) -> list[str]:
    community = one.file.partition("/")[0] + "_" + Path(one.file).stem
    create(line, community, num_prosumers=537, grid_import_limit_kw=1e6, grid_export_limit_kw=1e6)
    before = Sizes.of(connection)
    started = time.perf_counter()
    line.output("import", str(DATA / one.file), "--community", community, *one.options)
    seconds = time.perf_counter() - started
    after = Sizes.of(connection)
    with line.installation.client("root_admin") as client:
        listed = client.get(f"/communities/{community}/series").raise_for_status().json()["series"]
        readings = count_of(client, community, listed)
        first = listed[0]
        sums = [] if first["member_id"] is None else milliseconds(client, community, first, None, rounds)
        own = milliseconds(client, community, first, first["member_id"], rounds)
    return [
        one.name,
        f"{readings:,}",
        significant(readings / seconds),
        significant((after.readings - before.readings) / readings),
        significant((after.journal - before.journal) / readings),
        str((_end(first) - _start(first)).days),
        " / ".join(map(significant, sums)) or "as one series",
        significant(own[1]),
    ]


def _start(series: dict[str, str]) -> datetime:
    return max(datetime.fromisoformat(series["first_day"]), _end(series) - timedelta(days=LONGEST_READ_DAYS))


def _end(series: dict[str, str]) -> datetime:
    return datetime.fromisoformat(series["last_day"]) + timedelta(days=1)


def milliseconds(
    client: httpx.Client, community: str, series: dict[str, str], member: str | None, rounds: int
) -> list[float]:
    """The first read of the longest span of up to a year, and the median of others."""
    query = {"series": series["name"], "start": _start(series).isoformat(), "end": _end(series).isoformat()}
    if member is not None:
        query["member_id"] = member
    found: list[float] = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        client.get(f"/communities/{community}/readings", params=query).raise_for_status()
        found.append(1e3 * (time.perf_counter() - started))
    return [found[0], float(np.median(found[1:]))]


def count_of(client: httpx.Client, community: str, listed: list[dict[str, str]]) -> int:
    """Values that can be read."""
    total = 0
    for series in listed:
        start, end = datetime.fromisoformat(series["first_day"]), _end(series)
        query = {"series": series["name"], "start": start.isoformat(), "end": end.isoformat()}
        if series["member_id"] is not None:
            query["member_id"] = series["member_id"]
        values = client.get(f"/communities/{community}/readings", params=query).raise_for_status().json()["series"]
        total += sum(value is not None for value in values[0]["values"])
    return total


@contextmanager
def command_line() -> Iterator[tuple[CommandLine, psycopg.Connection]]:
    """The administrator's command line on a fresh installation, and a connection to its database."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        installation = Installation(home / "home", with_worker=False, LOGIN_ATTEMPTS_PER_5_MINUTES="1000")
        installation.home.mkdir()
        installation.create_administrator()
        installation.start()
        database = EmbeddedPostgres(installation.home)
        try:
            with psycopg.connect(database.start(), autocommit=True) as connection:
                line = CommandLine(installation, home)
                line.log_in("root_admin")
                yield line, connection
        finally:
            database.stop()
            installation.stop()


def main() -> None:
    rounds = rounds_asked((__doc__ or "").splitlines()[0], 7)
    found = [one for one in SETS if (DATA / one.file).exists()]
    for one in SETS:
        if one not in found:
            print(f"{one.name}: skipped, {one.file} is not there")
    if not found:
        return
    with command_line() as (line, connection):
        rows = [row_of(line, connection, one, rounds) for one in found]
    columns = (
        "set", "readings", "readings a second", "bytes a reading", "journal, bytes a reading", "days read",
        "all meters, ms: first / later", "one meter, ms",
    )  # fmt: skip
    report(Result("data_sets", columns, rows), "scripts/bench data_sets")


if __name__ == "__main__":
    main()

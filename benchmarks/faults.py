"""Faults: processes killed, connections cut at COMMIT, readings in any order, a full disk; and what became of readings.

Senders in processes of their own write each batch to a ledger on the disk before they send it, and its acknowledgement
afterwards. In the end every value of the ledgers is compared with what is stored.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.faults.audit import Findings
from tests.faults.disturbance import Survival, cuts, kills, running, running_behind_cutter, survive
from tests.faults.full_disk import can_mount, survive_full_disk
from tests.faults.messages import running_with_broker, survive_messages
from tests.faults.orders import OrdersTried, try_orders
from tests.mosquitto import has_mosquitto

from benchmarks.measure import Result, report, significant

KILLS = {"server": 40, "worker": 20, "database": 40}
CUTS = {"before": 25, "after": 25}
MESSAGE_KILLS = {"ingester": 20, "database": 10}
ORDERS = 50
FULL_FOR_S = 20.0
SEED = 2026
NAMES = {
    "server": "kill -9 of the API's server",
    "worker": "kill -9 of the worker",
    "ingester": "kill -9 of the ingester",
    "database": "kill -9 of the postmaster",
    "before": "connection cut before COMMIT arrives",
    "after": "connection cut before COMMIT is answered",
}
COLUMNS = ("fault", "times", "recovery, s: median / p95 / max")


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def survive_kills(share: float) -> Survival:
    with _folder() as folder, running(folder) as installation:
        return survive(installation, folder, kills(installation), times=_share_of(KILLS, share), seed=SEED)


def survive_broken_messages(share: float) -> Survival:
    with _folder() as folder, running_with_broker(folder) as (installation, broker):
        times = _share_of(MESSAGE_KILLS, share)
        return survive_messages(installation, broker, folder, times=times, seed=SEED)


def survive_cuts(share: float) -> tuple[Survival, OrdersTried]:
    with _folder() as folder, running_behind_cutter(folder) as (installation, cutter):
        survival = survive(installation, folder, cuts(cutter), times=_share_of(CUTS, share), seed=SEED)
        with installation.client("root_admin") as client:
            return survival, try_orders(client, tried=max(1, round(share * ORDERS)), seed=SEED)


def _share_of(times: dict[str, int], share: float) -> dict[str, int]:
    return {kind: max(1, round(share * number)) for kind, number in times.items()}


def rows_of(survival: Survival, by: str) -> list[list[str]]:
    return [[f"{by}: {NAMES[kind]}", str(len(times)), recovery(times)] for kind, times in survival.recovery_s.items()]


def recovery(seconds: NDArray[np.float64]) -> str:
    return " / ".join(significant(float(np.quantile(seconds, share))) for share in (0.5, 0.95, 1))


def sentence(findings: Findings) -> str:
    found = ", ".join(f"{name} {number}" for name, number in findings.faults.items())
    return (
        f"{findings.batches:,} batches were acknowledged; of {findings.values:,} values and {findings.reads:,} reads "
        f"as of an instant: {found}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the faults of the full run (default 1)")
    share = float(parser.parse_args().share)
    killed = survive_kills(share)
    cut, tried = survive_cuts(share)
    findings, rows = killed.findings + cut.findings, [*rows_of(killed, "HTTP"), *rows_of(cut, "HTTP")]
    if has_mosquitto():
        messages = survive_broken_messages(share)
        findings += messages.findings
        rows += rows_of(messages, "MQTT")
    else:
        print("messages from a broker: skipped, mosquitto is not installed")
    orders = f"the same in the end {tried.same_values}, every copy counted as such {tried.exact_counts}"
    rows.append(["the same readings in a random order, each three times", str(tried.tried), orders])
    notes: list[str] = []
    if can_mount():
        full = survive_full_disk(full_for_s=FULL_FOR_S, seed=SEED)
        findings += full.findings
        rows.append(["disk full, then without room for its write-ahead log", "1", recovery(np.array([full.healed_s]))])
        notes.append(
            f"With the disk full {full.refused} attempts to write were refused, and {full.reads_answered} of "
            f"{full.reads} reads were answered; once there was no room for the log either, {full.reads_without_log}."
        )
    else:
        print("disk full: skipped, a small file system cannot be mounted here")
    longest = max(killed.longest_wait_s, cut.longest_wait_s)
    notes = [sentence(findings), *notes, f"The longest that a request waited for its answer: {significant(longest)} s."]
    report(Result("faults", COLUMNS, rows, notes), "scripts/bench faults")
    if any(findings.faults.values()) or {tried.same_values, tried.exact_counts} != {tried.tried}:
        raise SystemExit("readings were lost or altered; see the table")


if __name__ == "__main__":
    main()

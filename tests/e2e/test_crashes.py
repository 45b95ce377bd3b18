"""Whatever is killed, cut or filled up, and whenever: what was acknowledged is there, once, unchanged.

`scripts/bench faults` lets the same faults strike far more often.
"""

from pathlib import Path

import pytest
from tests.e2e.serving import Installation
from tests.faults.audit import Findings
from tests.faults.disturbance import cuts, kills, running, running_behind_cutter, survive
from tests.faults.full_disk import can_mount, survive_full_disk
from tests.faults.messages import running_with_broker, survive_messages
from tests.faults.orders import try_orders

KILLS = {"server": 2, "worker": 1, "database": 2}
CUTS = {"before": 2, "after": 2}
MESSAGE_KILLS = {"ingester": 1, "database": 1}
ORDERS = 3
FULL_FOR_S = 3.0
LONGEST_WAIT_S = 30.0
"""Far above the ten seconds that a request may wait for a connection: whoever waits longer was forgotten."""

needs_small_disk = pytest.mark.skipif(not can_mount(), reason="a small file system cannot be mounted here")


def assert_nothing_went_wrong(findings: Findings) -> None:
    assert not any(findings.faults.values()), findings
    assert findings.batches > 8
    assert findings.values > 10_000
    assert findings.reads > 0


def test_nothing_acknowledged_is_lost_doubled_or_changed_when_processes_are_killed(tmp_path: Path) -> None:
    with running(tmp_path) as installation:
        survival = survive(installation, tmp_path, kills(installation), times=KILLS, seed=7)
    assert_nothing_went_wrong(survival.findings)
    assert {kind: len(times) for kind, times in survival.recovery_s.items()} == KILLS
    assert survival.longest_wait_s < LONGEST_WAIT_S


def test_a_connection_cut_at_commit_neither_loses_nor_doubles(tmp_path: Path) -> None:
    with running_behind_cutter(tmp_path) as (installation, cutter):
        survival = survive(installation, tmp_path, cuts(cutter), times=CUTS, seed=7)
    assert_nothing_went_wrong(survival.findings)
    assert {kind: len(times) for kind, times in survival.recovery_s.items()} == CUTS
    assert survival.longest_wait_s < LONGEST_WAIT_S


def test_no_message_that_the_broker_took_is_lost_when_the_ingester_or_the_database_is_killed(tmp_path: Path) -> None:
    with running_with_broker(tmp_path) as (installation, broker):
        survival = survive_messages(installation, broker, tmp_path, times=MESSAGE_KILLS, seed=7)
    assert not any(survival.findings.faults.values()), survival.findings
    assert survival.findings.values > 100


def test_readings_end_up_the_same_in_whatever_order_and_however_often_they_come(installation: Installation) -> None:
    with installation.client("root_admin") as client:
        tried = try_orders(client, tried=ORDERS, seed=7)
    assert (tried.same_values, tried.exact_counts) == (ORDERS, ORDERS)


@needs_small_disk
def test_a_full_disk_refuses_readings_and_takes_them_again_when_there_is_room() -> None:
    survival = survive_full_disk(full_for_s=FULL_FOR_S, seed=7)
    assert_nothing_went_wrong(survival.findings)
    assert survival.refused > 0
    assert survival.reads_answered == survival.reads > 0

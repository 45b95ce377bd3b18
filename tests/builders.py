"""Short words for long constructions."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.services.ports import (
    Checkpoint,
    IssuedForecast,
    KnownState,
    Lesson,
    Snapshot,
    StateTrack,
    StateUpdate,
    TrainedVersion,
)

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def community(community_id: str = "solar_valley", **given: Any) -> Community:
    """The guide's community."""
    numbers: dict[str, Any] = {
        "num_prosumers": 100,
        "total_pv_capacity_kw": 500,
        "total_storage_capacity_kwh": 200,
        "max_storage_power_kw": 50,
        "grid_import_limit_kw": 300,
        "grid_export_limit_kw": 300,
        "incentive_budget_daily": 1000,
    }
    return Community(community_id, **{**numbers, **given})


def series(
    name: str,
    values: Sequence[float],
    *,
    member: str | None = None,
    asset: str | None = None,
    start: datetime = MONDAY,
    minutes: int = 15,
) -> SeriesValues:
    """Readings from `start` on; None is no reading."""
    array = np.array(values, dtype=np.float64)
    return SeriesValues(SeriesKey(name, member, asset), TimeGrid(start, array.size, minutes), array)


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


def state_update(
    version: int, start: datetime, steps: int, *, value: float = 1.0, minutes: int = 15, midnights: int = 0
) -> StateUpdate:
    """An advance over these steps that found this value everywhere."""
    grid = TimeGrid(start, steps, minutes)
    column, four = np.full(steps, value), np.tile(value + np.arange(4.0), (steps, 1))
    return StateUpdate(
        snapshot=Snapshot(
            version, "setup", grid.end, MONDAY, 2.0, b"model", f"state {version}".encode(), {"told": version}
        ),
        is_new_model=version == 1,
        replaces_from=start,
        checkpoints=[Checkpoint(start + hours(24 * day), f"{version} {day}".encode()) for day in range(midnights)],
        track=StateTrack(grid, column, column, np.full(steps, 7), four, 2 * four, 3 * column),
        known=KnownState(MONDAY + timedelta(minutes=version), {"version": version}),
        forget_checkpoints_before=grid.end - hours(7 * 24),
    )


def issued_forecast(
    start: datetime, *, variable: str = "load_kw", level_kw: float = 10.0, has_naive: bool = True
) -> IssuedForecast:
    """A day of hours that is expected to be as high throughout, give or take half of it."""
    quantiles = level_kw * np.tile(np.linspace(0.5, 1.5, 7), (24, 1)).astype(np.float32)
    return IssuedForecast(
        variable=variable,
        start=start,
        issued_at=start,
        resolution_minutes=60,
        model="ridge",
        levels=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
        mean=np.full(24, level_kw, dtype=np.float32),
        quantiles=quantiles,
        naive_quantiles=1.5 * quantiles if has_naive else None,
    )


def trained_version(run_id: str = "") -> TrainedVersion:
    """A model as a Run trained it."""
    return TrainedVersion(
        variable="load_kw",
        model="ridge",
        run_id=run_id,
        trained_at=MONDAY + timedelta(minutes=3, microseconds=17),
        as_of=MONDAY,
        data_start=MONDAY - timedelta(days=60),
        data_end=MONDAY - timedelta(hours=1),
        data_sha256="ab" * 32,
        resolution_minutes=15,
        code_version="1.2.3",
        payload_format=1,
        sha256="0f" * 32,
        scores={"days": 14, "model": {"rmse_kw": 1.25, "coverage_90": None}},
    )


def lesson_of(trained: TrainedVersion, days: float = 1) -> Lesson:
    """What so many days taught a version."""
    as_of = trained.as_of + timedelta(days=days)
    return Lesson(
        variable=trained.variable,
        model=trained.model,
        version=trained.version,
        as_of=as_of,
        taught_at=as_of + timedelta(minutes=1),
        data_sha256="cd" * 32,
        code_version="1.2.3",
        sha256="0a" * 32,
        ensemble={"days": 29, "members": [{"model": "ridge", "loss_relative_to_best": None}]},
    )

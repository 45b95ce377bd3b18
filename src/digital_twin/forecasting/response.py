"""What load does by calendar and temperature alone, without any lag of it: coefficients for each slot of the day.

Ridge regression as in `regression.py`, slot after slot: ten years of quarter-hours would not fit into memory at once.

Source: temperature with lags and smoothed, interactions with hour and season: Wang, Liu and Hong (2016), Electric load
forecasting with recency effect, International Journal of Forecasting 32.
"""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.public_holidays import holidays_of
from digital_twin.domain.units import Array
from digital_twin.forecasting.local_days import Indices
from digital_twin.forecasting.past_years import YEAR_DAYS, season_columns

HALF_LIFE_DAYS = 365.0
PENALTY = 1.0
BLOCK_DAYS = 7
FEWEST_DAYS = 56
"""A slot that was seen on fewer can spare no week."""

LAG_HOURS = (0, 2, 24)
SMOOTHING_HOURS = (6, 24, 96)
HINGES = (0.03, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95)
SEASON_HARMONICS, WORKLESS_HARMONICS, RESPONSE_HARMONICS = 4, 2, 1


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """What was learned: coefficients on standardised features, and where the temperature's hinges are."""

    center: Array  # (S, P)
    scale: Array  # (S, P)
    coefficients: Array  # (S, P + 1), the last one is the intercept
    knots_c: Array  # (B, K) without rows where no temperature was learned

    def of_slot(self, slot: int, features: Array) -> Array:
        """The load of that slot of the day."""  # (..., P) -> (...)
        slopes = self.coefficients[slot, :-1] / self.scale[slot]
        return features @ slopes + (self.coefficients[slot, -1] - self.center[slot] @ slopes)


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """What is known of days beforehand."""

    columns: Array  # (D, C)
    workless: Array  # (D,) 1 on weekends and holidays
    season: Array  # (D, 2 * RESPONSE_HARMONICS)


def calendar_of(days: Indices, country: str | None) -> Calendar:
    """The calendar of days since 1970-01-01."""
    weekday = (days + 3) % 7
    off = holidays_of(country, days)
    after, before = (holidays_of(country, days + step) & ~off for step in (-1, 1))
    workless = ((weekday >= 5) | off).astype(np.float64)
    season = season_columns(days, SEASON_HARMONICS)
    parts = [
        (weekday[:, None] == np.arange(6)).astype(np.float64),
        np.stack([off, after, before], axis=1).astype(np.float64),
        season,
        workless[:, None] * season_columns(days, WORKLESS_HARMONICS),
        days[:, None] / YEAR_DAYS,
    ]
    return Calendar(np.concatenate(parts, axis=1), workless, season_columns(days, RESPONSE_HARMONICS))


def felt_temperatures(table_c: Array) -> Array:
    """Temperature now, a while ago, and smoothed; a course begins as if it had been so before.

    Args:
        table_c: whole days, known throughout.  # (..., D, S)
    """  # -> (..., D, S, B)
    from scipy.signal import lfilter

    slots = table_c.shape[-1]
    course = table_c.reshape(*table_c.shape[:-2], -1)
    first = course[..., :1]
    felt: list[Array] = []
    for hours in LAG_HOURS:
        back = hours * slots // 24
        felt.append(np.concatenate([np.repeat(first, back, axis=-1), course], axis=-1)[..., : course.shape[-1]])
    for hours in SMOOTHING_HOURS:
        kept = 0.5 ** (24 / slots / hours)
        smooth, _ = lfilter([1 - kept], [1, -kept], course, axis=-1, zi=kept * first)
        felt.append(smooth)
    return np.stack(felt, axis=-1).reshape(*table_c.shape, -1)


def slot_features(calendar: Calendar, felt_c: Array | None, knots_c: Array) -> Array:
    """The features of one slot of each day.

    Args:
        felt_c: temperatures of the slot, on one course or on several; None without.  # (..., D, B)
    """  # -> (..., D, P)
    if felt_c is None:
        return calendar.columns
    hinges = np.maximum(felt_c[..., None] - knots_c, 0.0)
    bent = np.concatenate([felt_c[..., None], hinges], axis=-1)  # (..., D, B, K + 1)
    now = bent[..., 0, :]
    changing = np.column_stack([calendar.workless, calendar.season])
    crossed = (changing[:, :, None] * now[..., None, :]).reshape(*now.shape[:-1], -1)
    columns = np.broadcast_to(calendar.columns, (*felt_c.shape[:-1], calendar.columns.shape[1]))
    return np.concatenate([columns, bent.reshape(*felt_c.shape[:-1], -1), crossed], axis=-1)


def fit_response(table: Array, calendar: Calendar, felt_c: Array | None) -> tuple[Response, Array]:
    """Learn from every day of a table, recent ones more, and tell what each day would be missed by without its week.

    Args:
        table: the load, NaN where unknown.  # (D, S)
        felt_c: of the same days; None without temperature.  # (D, S, B)
    """  # -> residuals (D, S), NaN where unknown
    knots_c = np.empty((0, len(HINGES))) if felt_c is None else np.quantile(felt_c, HINGES, axis=(0, 1)).T
    age_days = np.arange(table.shape[0])[::-1]
    fitted = [
        _fit_slot(
            slot_features(calendar, None if felt_c is None else felt_c[:, slot], knots_c),
            table[:, slot],
            0.5 ** (age_days / HALF_LIFE_DAYS),
        )
        for slot in range(table.shape[1])
    ]
    center, scale, coefficients, residuals = (np.stack(part) for part in zip(*fitted, strict=True))
    return Response(center, scale, coefficients, knots_c), residuals.T


def _fit_slot(features: Array, target: Array, weight: Array) -> tuple[Array, Array, Array, Array]:
    """Center, scale, coefficients, and residuals with the week left out."""
    known = np.isfinite(target)
    weight = np.where(known, weight, 0.0)
    total = max(float(weight.sum()), 1e-12)
    center = weight @ features / total
    scale = np.sqrt(weight @ (features - center) ** 2 / total)
    scale = np.where(scale > 1e-9, scale, 1.0)
    design = np.column_stack([(features - center) / scale, np.ones(target.size)])
    weighted = design * weight[:, None]
    penalty = np.full(design.shape[1], PENALTY)
    penalty[-1] = 1e-9
    inverse = np.linalg.inv(design.T @ weighted + np.diag(penalty))
    coefficients = inverse @ (weighted.T @ np.where(known, target, 0.0))
    residuals = target - design @ coefficients
    if known.sum() >= FEWEST_DAYS:
        residuals = _left_out(residuals, design, weighted @ inverse)
    return center, scale, coefficients, residuals


def _left_out(residuals: Array, design: Array, influence: Array) -> Array:
    """What a fit without the week that a day lies in would have missed it by: (I - H)^-1 e of each such block."""
    blocks = -(-residuals.size // BLOCK_DAYS)
    short = blocks * BLOCK_DAYS - residuals.size

    def cut(rows: Array) -> Array:
        return np.concatenate([np.zeros((short, rows.shape[1])), rows]).reshape(blocks, BLOCK_DAYS, -1)

    errors = cut(np.nan_to_num(residuals)[:, None])
    hat = cut(design) @ cut(influence).transpose(0, 2, 1)
    found = np.linalg.solve(np.eye(BLOCK_DAYS) - hat, errors).ravel()[short:]
    return np.where(np.isfinite(residuals), found, np.nan)

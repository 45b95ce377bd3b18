"""How well patterns are recognised: heat pumps of metered homes with labels, devices and groups of synthetic ones.

The shipped detector learned from synthetic homes alone. What could be learned from the labels is measured beside it, on
the same features, with settings chosen inside each fold; nothing of that is kept.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, brier_score_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.households import GRID, HOUSEHOLDS, PLACE, measured_sky
from benchmarks.measure import Result, report, rounds_asked, significant
from benchmarks.pattern_homes import KnownHome, known_homes
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.forecasting.pattern_days import Locality, pattern_days
from digital_twin.forecasting.pattern_detection import (
    DEVICES,
    LOOKED_AT,
    Detected,
    Weights,
    detect_devices,
)
from digital_twin.forecasting.pattern_features import features_of
from digital_twin.forecasting.pattern_groups import group
from digital_twin.forecasting.pattern_shapes import normalised, profiles
from digital_twin.forecasting.pattern_weights import WEIGHTS

HELD_OUT_SEED, HELD_OUT_HOMES = 2, 15
LOCALITY = Locality(PLACE.timezone, "CH")
COLUMNS = ("what", "homes", "minutes", "figure", "reach")


def labelled_homes() -> tuple[Array, Array]:
    """Power of the homes whose heating is known, and whether it is a heat pump; the others heat by electricity."""
    labels = pd.read_parquet(HOUSEHOLDS / "households.parquet").set_index("VID").heating_type.dropna()
    meters = pd.read_parquet(HOUSEHOLDS / "meters_15min_wide.parquet").drop(columns="time_local")
    labels = labels[labels.index.isin(meters.columns)]
    has_pump = labels.str.contains("heat pump").to_numpy(dtype=bool)
    return 4 * meters[labels.index].to_numpy(dtype=np.float64).T, has_pump


def features_of_meters(load_kw: Array, step_minutes: int) -> list[dict[str, float]]:
    """Of each home."""
    whole = step_minutes // GRID.step_minutes
    grid = TimeGrid(GRID.start, GRID.steps // whole, step_minutes)
    warmth = measured_sky().temperature_c.reshape(-1, whole).mean(axis=1)
    coarser = load_kw.reshape(len(load_kw), -1, whole).mean(axis=2)
    return [features_of(pattern_days(one, grid, LOCALITY, warmth)) for one in coarser]


def metered_rows(rounds: int) -> Iterator[list[str]]:
    """The shipped detector on the labels, and what the labels would teach."""
    load_kw, has_pump = labelled_homes()
    for minutes in (15, 60):
        features = features_of_meters(load_kw, minutes)
        weights = {detector: Weights(*WEIGHTS[detector, minutes]) for detector in LOOKED_AT}
        told = np.array([detect_devices(one, weights)["heat_pump"].probability for one in features])
        low, high = _bootstrapped(has_pump, told)
        figure = f"{roc_auc_score(has_pump, told):.3f} ({low:.3f} to {high:.3f})"
        yield ["heat pump: shipped, learned from synthetic homes, AUC", str(len(told)), str(minutes), figure, ""]
        table = pd.DataFrame(features).dropna(axis=1).to_numpy()
        for name, (model, settings) in _learners().items():
            scores = [_cross_validated(table, has_pump, model, settings, seed) for seed in range(rounds)]
            figure = f"{np.mean(scores):.3f} (deviation of {rounds} repetitions {np.std(scores):.3f})"
            yield [
                f"heat pump: {name} on the labels, cross-validated, AUC",
                str(len(told)),
                str(minutes),
                figure,
                ">= 0.78",
            ]


def _bootstrapped(truth: Array, told: Array, draws: int = 500) -> tuple[float, float]:
    """95 % of the AUC of homes drawn again."""
    generator = np.random.default_rng(0)
    scores = []
    while len(scores) < draws:
        drawn = generator.integers(0, len(truth), len(truth))
        if 0 < truth[drawn].sum() < len(truth):
            scores.append(roc_auc_score(truth[drawn], told[drawn]))
    low, high = np.quantile(scores, (0.025, 0.975))
    return float(low), float(high)


def _learners() -> dict[str, tuple[object, dict[str, list[float]]]]:
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3_000))
    forest = RandomForestClassifier(60, n_jobs=1, random_state=0)
    return {
        "logistic regression": (logistic, {"logisticregression__C": [0.003, 0.01, 0.03, 0.1, 0.3]}),
        "random forest": (forest, {"min_samples_leaf": [2, 5]}),
    }


def _cross_validated(table: Array, truth: Array, model: object, settings: dict[str, list[float]], seed: int) -> float:
    """Mean AUC of five folds; settings are chosen by folds inside what is learned from."""
    scores = []
    for learned, judged in StratifiedKFold(5, shuffle=True, random_state=seed).split(table, truth):
        inner = StratifiedKFold(4, shuffle=True, random_state=seed)
        chosen = GridSearchCV(model, settings, scoring="roc_auc", cv=inner).fit(table[learned], truth[learned])
        scores.append(roc_auc_score(truth[judged], chosen.predict_proba(table[judged])[:, 1]))
    return float(np.mean(scores))


def synthetic_rows() -> Iterator[list[str]]:
    """Homes of other seeds than were learned from, in all months; heat pumps behind PV beside those without."""
    homes = list(known_homes(HELD_OUT_SEED, HELD_OUT_HOMES))
    for minutes in (15, 60):
        those = [home for home in homes if home.step_minutes == minutes]
        weights = {detector: Weights(*WEIGHTS[detector, minutes]) for detector in LOOKED_AT}
        told = [detect_devices(home.features, weights) for home in those]
        for device in DEVICES:
            yield _row(
                device, minutes, [(home.has[device], one[device]) for home, one in zip(those, told, strict=True)]
            )
        yield from _heat_pump_rows(those, weights)


def _heat_pump_rows(homes: Sequence[KnownHome], weights: Mapping[str, Weights]) -> Iterator[list[str]]:
    """What the sun hides of heat pumps, and what is seen again where generation is known."""
    minutes = homes[0].step_minutes
    behind, without = ([home for home in homes if home.has["pv"] == has_pv] for has_pv in (True, False))
    for where, those, knows in (
        ("without PV", without, False),
        ("behind PV, only the net known", behind, False),
        ("behind PV, generation known too", behind, True),
    ):
        told = [detect_devices(home.features, weights, home.used if knows else None)["heat_pump"] for home in those]
        pairs = [(home.has["heat_pump"], one) for home, one in zip(those, told, strict=True)]
        yield _row(f"heat_pump {where}", minutes, pairs)


def _row(what: str, minutes: int, pairs: Sequence[tuple[bool, Detected]]) -> list[str]:
    truth, told = np.array([has for has, _ in pairs]), np.array([one.probability for _, one in pairs])
    brier = brier_score_loss(truth, told) / (truth.mean() * (1 - truth.mean()))
    figure = (
        f"AUC {roc_auc_score(truth, told):.3f}, Brier score {brier:.2f} of what the share alone leaves, "
        f"told {told.mean():.2f}, true {truth.mean():.2f}, false alarms {(told[~truth] > 0.5).mean():.2f}"
    )
    return [f"{what}: shipped, on other synthetic homes", str(len(pairs)), str(minutes), figure, ""]


def group_rows() -> Iterator[list[str]]:
    """Groups of metered homes: how firm, and whether two halves of the weeks tell the same."""
    load_kw, _ = labelled_homes()
    grid = TimeGrid(GRID.start, GRID.steps, 15)
    started = time.process_time()
    days = [pattern_days(one, grid, LOCALITY) for one in load_kw]
    for one in days:
        features_of(one)
    a_home = (time.process_time() - started) / len(days)
    found = group(np.stack([np.concatenate(normalised(profiles(one))) for one in days]))
    halves = []
    for first, steps in ((0, GRID.steps // 2 // 672 * 672), (GRID.steps - 21 * 96, 21 * 96)):
        part = TimeGrid(GRID.instant(first), steps, 15)
        shapes = [normalised(profiles(pattern_days(one[first : first + steps], part, LOCALITY))) for one in load_kw]
        halves.append(group(np.stack([np.concatenate(one) for one in shapes])).label)
    stability = "one group" if found.stability is None else f"{found.stability:.2f}"
    yield [
        "groups of metered homes: number, adjusted Rand index when found again in 80 %, between halves of the weeks",
        str(len(days)), "15",
        f"{len(found.centres)}, {stability}, {adjusted_rand_score(*halves):.2f}", "",
    ]  # fmt: skip
    yield ["features of one home over seven weeks, ms of the processor", "1", "15", significant(1e3 * a_home), ""]


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 5)
    rows = list(synthetic_rows())
    if HOUSEHOLDS.exists():
        rows = [*metered_rows(rounds), *rows, *group_rows()]
    report(Result("patterns", COLUMNS, rows), "scripts/bench patterns")


if __name__ == "__main__":
    main()

"""What a peer says of the same days, run by the Python that has it: forecasting_peers.py PEER QUESTION.npz ANSWER.npz

It imports nothing of ours, since the peers' versions of pandas and scikit-learn are not ours. The question is a table
of local days and slots without gaps, the weather as it was foreseen, and how many of the last days are asked; each is
asked with what its midnight knew. What is fitted is fitted anew after `refit_days`, as ours.
"""

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

CALIBRATION_DAYS = 28
SEASONAL_WEEKS = 8
SAMPLES = 300


@dataclass
class Question:
    """The series as pandas users hold it: naive local time, with weather and calendar in columns beside it."""

    values: "pd.Series[float]"
    outside: pd.DataFrame
    slots: int
    judged: int
    refit_days: int
    levels: np.ndarray
    fit_s: list[float] = field(default_factory=list)
    predict_s: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Question":
        with np.load(path) as given:
            table = given["table"]
            minutes = 1440 // table.shape[1]
            index = pd.date_range("1970-01-01", periods=table.size, freq=f"{minutes}min")
            index += pd.Timedelta(days=int(given["first_day"]))
            outside = pd.DataFrame(
                {name: given[f"weather_{name}"].ravel() for name in given["weather"].tolist()}, index=index
            )
            values = pd.Series(table.ravel(), index).asfreq(f"{minutes}min")
            judged, refit_days = int(given["judged"]), int(given["refit_days"])
            return cls(values, outside, table.shape[1], judged, refit_days, given["levels"])

    @property
    def calendar(self) -> pd.DataFrame:
        """What EMHASS gives its forecaster, and the weather."""
        at = pd.DatetimeIndex(self.values.index)
        columns = {"month": at.month, "weekday": at.dayofweek, "hour": at.hour + at.minute / 60, "day": at.dayofyear}
        return pd.DataFrame(columns, index=at).join(self.outside).astype(float)

    def origins(self) -> Iterator[tuple[int, bool]]:
        """The step that each day begins with, and whether to fit anew there."""
        first = self.values.size // self.slots - self.judged
        for place in range(self.judged):
            yield (first + place) * self.slots, place % self.refit_days == 0

    def each(self, fit: Callable[[int], object], predict: Callable[[object, int], np.ndarray]) -> np.ndarray:
        """All days, timed."""
        rows: list[np.ndarray] = []
        fitted: object = None
        for origin, is_new in self.origins():
            if is_new:
                started = time.process_time()
                fitted = fit(origin)
                self.fit_s.append(time.process_time() - started)
            started = time.process_time()
            rows.append(np.sort(predict(fitted, origin), axis=1))
            self.predict_s.append(time.process_time() - started)
        return np.stack(rows)


def prophet(asked: Question) -> np.ndarray:
    """Its own seasonalities, with the weather as regressors."""
    from prophet import Prophet

    frame = asked.outside.assign(ds=asked.values.index, y=asked.values.to_numpy())

    def fit(origin: int) -> Prophet:
        model = Prophet(uncertainty_samples=SAMPLES)
        for name in asked.outside:
            model.add_regressor(name)
        return model.fit(frame.iloc[:origin])

    def predict(model: Prophet, origin: int) -> np.ndarray:
        np.random.seed(0)  # noqa: NPY002  it draws from numpy's global generator
        day = frame.iloc[origin : origin + asked.slots]
        return np.quantile(model.predictive_samples(day)["yhat"], asked.levels, axis=1).T

    return asked.each(fit, predict)


def lightgbm_quantiles(asked: Question) -> np.ndarray:
    """A model for each quantile with the library's parameters, on lags of whole days, calendar and weather."""
    from lightgbm import LGBMRegressor

    series = asked.values
    lags = {f"lag_{days}": series.shift(days * asked.slots) for days in (1, 2, 3, 7, 14)}
    by_slot = pd.DataFrame({days: series.shift(days * asked.slots) for days in range(1, 8)})
    last_day = series.rolling(asked.slots).mean().shift(1).iloc[:: asked.slots].reindex(series.index, method="ffill")
    features = asked.calendar.assign(**lags, week=by_slot.mean(axis=1), yesterday=last_day)

    def fit(origin: int) -> list[LGBMRegressor]:
        known = slice(7 * asked.slots, origin)
        x, y = features.iloc[known], series.iloc[known]
        models = [LGBMRegressor(objective="quantile", alpha=level, n_jobs=1, verbose=-1) for level in asked.levels]
        return [model.fit(x, y) for model in models]

    def predict(models: list[LGBMRegressor], origin: int) -> np.ndarray:
        day = features.iloc[origin : origin + asked.slots]
        return np.column_stack([model.predict(day) for model in models])

    return asked.each(fit, predict)


def neighbours(asked: Question) -> np.ndarray:
    """As EMHASS forecasts load: skforecast with k nearest neighbours on two days of lags, intervals by bootstrap."""
    from skforecast.recursive import ForecasterRecursive
    from sklearn.neighbors import KNeighborsRegressor

    calendar = asked.calendar

    def fit(origin: int) -> ForecasterRecursive:
        model = ForecasterRecursive(KNeighborsRegressor(), lags=2 * asked.slots)
        model.fit(asked.values.iloc[:origin], exog=calendar.iloc[:origin], store_in_sample_residuals=True)
        return model

    def predict(model: ForecasterRecursive, origin: int) -> np.ndarray:
        day = slice(origin, origin + asked.slots)
        return model.predict_quantiles(
            steps=asked.slots,
            last_window=asked.values.iloc[:origin].iloc[-2 * asked.slots :],
            exog=calendar.iloc[day],
            quantiles=asked.levels.tolist(),
            n_boot=100,
        ).to_numpy()

    return asked.each(fit, predict)


def conformal_lightgbm(asked: Question) -> np.ndarray:
    """skforecast with LightGBM, its intervals conformal by the residuals of up to four weeks before."""
    from lightgbm import LGBMRegressor
    from skforecast.recursive import ForecasterRecursive

    calendar, longest = asked.calendar, 7 * asked.slots
    lags = [*range(1, asked.slots + 1), 2 * asked.slots, longest]

    def point(model: ForecasterRecursive, origin: int) -> "pd.Series[float]":
        day, before = slice(origin, origin + asked.slots), slice(origin - longest, origin)
        return model.predict(asked.slots, last_window=asked.values.iloc[before], exog=calendar.iloc[day])

    def fit(origin: int) -> ForecasterRecursive:
        model = ForecasterRecursive(LGBMRegressor(n_jobs=1, verbose=-1), lags=lags)
        earlier = origin - min(CALIBRATION_DAYS, origin // asked.slots // 3) * asked.slots
        model.fit(asked.values.iloc[:earlier], exog=calendar.iloc[:earlier])
        said = pd.concat([point(model, start) for start in range(earlier, origin, asked.slots)])
        model.fit(asked.values.iloc[:origin], exog=calendar.iloc[:origin], store_in_sample_residuals=True)
        model.set_out_sample_residuals(y_true=asked.values.loc[said.index], y_pred=said)
        return model

    def predict(model: ForecasterRecursive, origin: int) -> np.ndarray:
        day, before = slice(origin, origin + asked.slots), slice(origin - longest, origin)
        interval = partial(
            model.predict_interval,
            steps=asked.slots,
            last_window=asked.values.iloc[before],
            exog=calendar.iloc[day],
            method="conformal",
            use_in_sample_residuals=False,
        )
        half = len(asked.levels) // 2
        pairs = [interval(interval=[100 * level, 100 * (1 - level)]) for level in asked.levels[:half]]
        below = [one["lower_bound"] for one in pairs]
        above = [one["upper_bound"] for one in reversed(pairs)]
        return np.column_stack([*below, pairs[0]["pred"], *above])

    return asked.each(fit, predict)


def seasonal_trend(asked: Question) -> np.ndarray:
    """statsforecast: MSTL of day and week with AutoETS for the trend, on eight weeks; fitted anew each day."""
    from statsforecast.models import MSTL, AutoETS

    seasons = [asked.slots, 7 * asked.slots]
    half = len(asked.levels) // 2
    widths = [round(100 * (1 - 2 * level), 6) for level in asked.levels[:half]]

    def predict(_: object, origin: int) -> np.ndarray:
        model = MSTL(season_length=seasons, trend_forecaster=AutoETS(model="ZZN"))
        known = asked.values.to_numpy()[max(0, origin - SEASONAL_WEEKS * seasons[1]) : origin]
        said = model.forecast(known, h=asked.slots, level=sorted(widths))
        below, above = ([_bound(said, side, width) for width in widths] for side in ("lo", "hi"))
        return np.column_stack([*below, said["mean"], *reversed(above)])

    return asked.each(lambda _: None, predict)


def _bound(said: dict[str, np.ndarray], side: str, width: float) -> np.ndarray:
    return said[f"{side}-{width:g}"] if f"{side}-{width:g}" in said else said[f"{side}-{width}"]


def grid_operators(asked: Question) -> np.ndarray:
    """OpenSTEF, its linear model of quantiles, by the pipelines that it forecasts with."""
    from openstef.data_classes.model_specifications import ModelSpecificationDataClass
    from openstef.data_classes.prediction_job import PredictionJobDataClass
    from openstef.pipeline.create_forecast import create_forecast_pipeline_core
    from openstef.pipeline.train_model import train_model_pipeline_core

    names = {"temperature_c": "temp", "ghi_wm2": "radiation", "wind_speed_ms": "windspeed_100m"}
    data = pd.DataFrame({"load": asked.values}).join(asked.outside.rename(columns=names)).tz_localize("UTC")
    job = PredictionJobDataClass(
        id=1,
        name="load",
        model="gblinear_quantile",
        quantiles=asked.levels.tolist(),
        forecast_type="demand",
        horizon_minutes=1440,
        resolution_minutes=1440 // asked.slots,
    )

    def fit(origin: int) -> tuple[object, ModelSpecificationDataClass]:
        wanted = ModelSpecificationDataClass(id=1)
        model, _, found, _ = train_model_pipeline_core(job, wanted, data.iloc[:origin], horizons=[1.0, 24.0])
        model.path = ""
        return model, found

    def predict(fitted: tuple[object, ModelSpecificationDataClass], origin: int) -> np.ndarray:
        known = data.iloc[: origin + asked.slots].copy()
        known.iloc[origin:, 0] = np.nan
        said = create_forecast_pipeline_core(job, known, *fitted)
        return said[[name for name in said if name.startswith("quantile_")]].to_numpy()

    return asked.each(fit, predict)


PEERS: dict[str, Callable[[Question], np.ndarray]] = {
    "prophet": prophet,
    "lightgbm": lightgbm_quantiles,
    "skforecast_knn": neighbours,
    "skforecast_lightgbm": conformal_lightgbm,
    "statsforecast": seasonal_trend,
    "openstef": grid_operators,
}


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    name, question, answer = sys.argv[1:]
    asked = Question.read(Path(question))
    quantiles = PEERS[name](asked)
    np.savez(answer, quantiles=quantiles, fit_s=np.array(asked.fit_s), predict_s=np.array(asked.predict_s))


if __name__ == "__main__":
    main()

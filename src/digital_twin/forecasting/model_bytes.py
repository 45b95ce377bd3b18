"""A fitted model with its scores as bytes and back: numpy's npz with a JSON header, read without pickle."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.forecasting.features import FeatureDesign
from digital_twin.forecasting.forecast import Site
from digital_twin.forecasting.held_out import Score, Scores
from digital_twin.forecasting.pv import FittedPhotovoltaics
from digital_twin.forecasting.regression import FittedRidge, FittedSlots
from digital_twin.forecasting.solar import Orientation
from digital_twin.forecasting.training import FittedModel

FORMAT = 1
"""Goes up whenever a change of the code gives these bytes another meaning; models of other formats are not used."""

_HEADER = "header"
_PLAIN, _WARM = "plain_", "warm_"
_SLOT_ARRAYS = ("center", "scale", "coefficients", "residuals")

Arrays = Mapping[str, np.ndarray[Any, Any]]


def to_bytes(model: FittedModel, scores: Scores) -> bytes:
    """The same bytes for the same model."""
    header = {
        "format": FORMAT,
        "model": model.model,
        "variable": model.variable,
        "site": asdict(model.site),
        "step_minutes": model.step_minutes,
        "as_of": model.as_of.isoformat(),
        "scores": asdict(scores) | {"start": scores.start.isoformat(), "end": scores.end.isoformat()},
    }
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    if isinstance(model.fitted, FittedPhotovoltaics):
        facing = model.fitted.orientation
        numbers = (facing.tilt_degrees, facing.azimuth_degrees, facing.scale, model.fitted.agreement)
        arrays["photovoltaics"] = np.array(numbers)
    else:
        arrays |= _ridge_arrays(model.fitted, _PLAIN)
    if model.with_temperature is not None:
        arrays |= _ridge_arrays(model.with_temperature, _WARM)
    arrays[_HEADER] = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def from_bytes(payload: bytes) -> tuple[FittedModel, Scores]:
    """The model and its scores.

    Raises:
        InvalidInput: the bytes are damaged, or of another format.
    """
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            header = json.loads(archive[_HEADER].tobytes())
            if header["format"] != FORMAT:
                raise InvalidInput(f"the model has format {header['format']}, this version reads {FORMAT}; train anew")
            return _model(header, archive), _scores(header["scores"])
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput("the model's bytes are damaged; train anew") from error


def _model(header: dict[str, Any], arrays: Arrays) -> FittedModel:
    if "photovoltaics" in arrays:
        tilt, azimuth, scale, agreement = arrays["photovoltaics"].tolist()
        fitted = FittedPhotovoltaics(Orientation(tilt, azimuth, scale), agreement)
    else:
        fitted = _ridge(arrays, _PLAIN)
    return FittedModel(
        model=header["model"],
        variable=header["variable"],
        site=Site(**header["site"]),
        step_minutes=header["step_minutes"],
        as_of=datetime.fromisoformat(header["as_of"]),
        fitted=fitted,
        with_temperature=_ridge(arrays, _WARM) if f"{_WARM}back" in arrays else None,
    )


def _scores(found: dict[str, Any]) -> Scores:
    return Scores(
        datetime.fromisoformat(found["start"]),
        datetime.fromisoformat(found["end"]),
        found["days"],
        Score(**found["model"]),
        Score(**found["seasonal_naive"]),
    )


def _ridge_arrays(ridge: FittedRidge, prefix: str) -> dict[str, np.ndarray[Any, Any]]:
    knots_c = ridge.design.temperature_knots_c
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "usual": ridge.design.usual,
        "has_season": np.array(ridge.design.has_season),
        "knots_c": np.empty(0) if knots_c is None else knots_c,
        "back": np.array(list(ridge.slots)),
        "calibrated": np.array(list(ridge.shifts), dtype=np.int64),
        "shifts": _stacked(list(ridge.shifts.values())),
    }
    for name in _SLOT_ARRAYS:
        arrays[name] = _stacked([getattr(one, name) for one in ridge.slots.values()])
    return {prefix + name: array for name, array in arrays.items()}


def _stacked(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    return np.stack(arrays) if arrays else np.empty(0)


def _ridge(arrays: Arrays, prefix: str) -> FittedRidge:
    found = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
    knots_c = found["knots_c"]
    design = FeatureDesign(found["usual"], bool(found["has_season"]), knots_c if knots_c.size else None)
    slots = {
        int(days): FittedSlots(*(found[name][place] for name in _SLOT_ARRAYS))
        for place, days in enumerate(found["back"])
    }
    shifts = {int(days): found["shifts"][place] for place, days in enumerate(found["calibrated"])}
    return FittedRidge(design, slots, shifts)

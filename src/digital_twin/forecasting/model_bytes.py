"""A fitted model with its scores as bytes and back: numpy's npz with a JSON header, read without pickle."""

import io
import json
import zipfile
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.forecasting.forecast import Site
from digital_twin.forecasting.forecaster import Arrays, UpdatedDaily
from digital_twin.forecasting.held_out import Score, Scores
from digital_twin.forecasting.registry import find_forecaster
from digital_twin.forecasting.training import FittedModel

FORMAT = 3
"""Goes up whenever a change of the code gives these bytes another meaning; models of other formats are not used."""

_HEADER = "header"


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
    named = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_HEADER: named}, **model.fitted.to_arrays())
    return buffer.getvalue()


def lesson_to_bytes(lesson: Arrays) -> bytes:
    """What `from_bytes` takes beside the bytes of the fit that was taught."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **lesson)
    return buffer.getvalue()


def from_bytes(payload: bytes, lesson: bytes | None = None) -> tuple[FittedModel, Scores]:
    """The model, as its lesson left it where there is one, and its scores as trained.

    Raises:
        InvalidInput: the bytes are damaged, of another format, or of a model that is no longer there.
    """
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            header = json.loads(archive[_HEADER].tobytes())
            if header["format"] != FORMAT:
                raise InvalidInput(f"the model has format {header['format']}, this version reads {FORMAT}; train anew")
            arrays = {name: archive[name] for name in archive.files if name != _HEADER}
            return _after(_model(header, arrays), lesson), _scores(header["scores"])
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput("the model's bytes are damaged; train anew") from error


def _model(header: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> FittedModel:
    return FittedModel(
        model=header["model"],
        variable=header["variable"],
        site=Site(**header["site"]),
        step_minutes=header["step_minutes"],
        as_of=datetime.fromisoformat(header["as_of"]),
        fitted=find_forecaster(header["model"]).from_arrays(arrays),
    )


def _after(model: FittedModel, lesson: bytes | None) -> FittedModel:
    if lesson is None or not isinstance(model.fitted, UpdatedDaily):
        return model
    with np.load(io.BytesIO(lesson), allow_pickle=False) as archive:
        return replace(model, fitted=model.fitted.after({name: archive[name] for name in archive.files}))


def _scores(found: dict[str, Any]) -> Scores:
    return Scores(
        datetime.fromisoformat(found["start"]),
        datetime.fromisoformat(found["end"]),
        found["days"],
        Score(**found["model"]),
        Score(**found["seasonal_naive"]),
    )

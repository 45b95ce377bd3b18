"""The models by name.

Others are added by packages that declare the entry point group `digital_twin.forecasters`; each is imported when it is
asked for.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points

from digital_twin.domain.errors import InvalidInput
from digital_twin.forecasting.forecaster import Forecaster

DEFAULT_LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
ENTRY_POINTS = "digital_twin.forecasters"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model for people who choose one."""

    name: str
    variables: tuple[str, ...]
    needs: str
    reference: str
    where: str
    learns: bool = True


_LOAD = ("load_kw", "net_load_kw")
MODELS = {
    model.name: model
    for model in (
        ModelDescription(
            "standard_load",
            ("load_kw",),
            "nothing",
            "BDEW H0 (1999)",
            "digital_twin.forecasting.priors:standard_load",
            learns=False,
        ),
        ModelDescription(
            "seasonal_naive",
            (*_LOAD, "pv_kw"),
            "2 days of readings",
            "Hyndman and Athanasopoulos (2021), section 5.2",
            "digital_twin.forecasting.naive:seasonal_naive",
            learns=False,
        ),
        ModelDescription(
            "ridge",
            (*_LOAD, "pv_kw"),
            "21 days of readings",
            "Hastie, Tibshirani and Friedman (2009), section 3.4",
            "digital_twin.forecasting.regression:ridge",
        ),
        ModelDescription(
            "ridge_conformal",
            (*_LOAD, "pv_kw"),
            "21 days of readings; calibrated from 28 days on",
            "Gibbs and Candes (2021)",
            "digital_twin.forecasting.regression:calibrated_ridge",
        ),
        ModelDescription(
            "boosting",
            (*_LOAD, "pv_kw"),
            "21 days of readings",
            "Ke et al. (2017), LightGBM; Koenker and Bassett (1978)",
            "digital_twin.forecasting.boosting:boosting",
        ),
        ModelDescription(
            "lstm",
            _LOAD,
            "21 days of readings",
            "Hochreiter and Schmidhuber (1997); Wen et al. (2017)",
            "digital_twin.forecasting.lstm:lstm",
        ),
        ModelDescription(
            "prophet",
            (*_LOAD, "pv_kw"),
            "21 days of readings",
            "Taylor and Letham (2018), The American Statistician 72",
            "digital_twin.forecasting.prophet:prophet",
        ),
        ModelDescription(
            "ensemble",
            _LOAD,
            "28 days of readings",
            "Ratcliff (1979); Gibbs and Candes (2021)",
            "digital_twin.forecasting.ensemble:ensemble",
        ),
        ModelDescription(
            "scenarios",
            _LOAD,
            "365 days of readings; better with temperature_c of those days",
            "Xie and Hong (2016), IEEE Transactions on Smart Grid 9",
            "digital_twin.forecasting.scenarios:scenarios",
            learns=False,
        ),
        ModelDescription(
            "pvwatts",
            ("pv_kw",),
            "nothing; learns roofs, limits and the weather's error from 14 days of readings",
            "Dobos (2014), NREL/TP-6A20-62641",
            "digital_twin.forecasting.pv:pvwatts",
        ),
    )
}


BEST = {"load_kw": "ensemble", "net_load_kw": "ensemble", "pv_kw": "pvwatts"}
"""What `auto` takes for each variable where it was trained."""


def list_models() -> list[ModelDescription]:
    """Every model there is, those of plug-ins last."""
    added = [
        ModelDescription(
            point.name, (*_LOAD, "pv_kw"), "see the plug-in", point.dist.name if point.dist else "", point.value
        )
        for point in entry_points(group=ENTRY_POINTS)
        if point.name not in MODELS
    ]
    return [*MODELS.values(), *added]


def describe_model(name: str) -> ModelDescription:
    """The model of that name. Raises InvalidInput where there is none."""
    if name in MODELS:
        return MODELS[name]  # without asking every installed package what it declares, which takes 30 ms
    known = {one.name: one for one in list_models()}
    if name not in known:
        raise InvalidInput(f"model must be auto or one of {', '.join(known)}", field="model")
    return known[name]


def find_forecaster(name: str) -> Forecaster:
    """The model itself. Raises InvalidInput where there is none."""
    module, _, attribute = describe_model(name).where.partition(":")
    return getattr(import_module(module), attribute)


def require_learning(names: Iterable[str]) -> None:
    """Raises InvalidInput where one is unknown or has nothing to learn."""
    known = {one.name: one for one in list_models()}
    for name in names:
        if name not in known or not known[name].learns:
            wrong = f"the model {name} has nothing to learn" if name in known else "there is no such model"
            learning = ", ".join(one.name for one in known.values() if one.learns)
            raise InvalidInput(f"{wrong}; models that are trained are {learning}", field="models")


def models_to_train(variable: str, names: Collection[str] | None) -> list[str]:
    """The named models that forecast the variable; without names the one that `auto` takes where it was trained."""
    if names is None:
        return [BEST[variable]]
    return [one.name for one in list_models() if one.name in names and variable in one.variables]

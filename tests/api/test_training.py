"""Training over HTTP: by a Run, in versions with scores, and forecasts that say which version made them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import EIGHT_NUMBERS, Api, answered, refused
from tests.api.test_forecasts import DAY, START, check_forecast, days_of_load, generate, record

from digital_twin.client import Tokens, TwinClient
from digital_twin.domain import errors

AT_ONCE = {"Prefer": "wait=60"}
SUNNY_DAYS = 45


def days_of_sun(days: int) -> list[float]:
    """Generation around noon, on some days less."""
    hours = np.arange(days * 96) / 4
    clouds = np.repeat(np.random.default_rng(2).uniform(0.4, 1.0, days), 96)
    return (300 * clouds * np.maximum(np.cos((hours % 24 - 11.5) / 12 * np.pi), 0) ** 2).tolist()


def train(client: httpx.Client, community_id: str, **body: Any) -> Any:
    """The Run of a training when it has ended."""
    path = f"/communities/{community_id}/forecasting/train"
    run = answered(client.post(path, json={"as_of": DAY["start_time"], **body}, headers=AT_ONCE), 202)
    while run["state"] in ("queued", "running"):
        run = answered(client.get(run["links"]["self"], headers=AT_ONCE))
    return run


def trained(client: httpx.Client, community_id: str) -> list[Any]:
    return answered(client.get(f"/communities/{community_id}/forecasting/models"))["trained"]


@pytest.fixture
def metered(operator: httpx.Client, community: str) -> str:
    """A community that meters its load."""
    record(operator, community, days_of_load(60))
    return community


def test_without_names_the_models_that_auto_takes_are_trained(operator: httpx.Client, community: str):
    record(operator, community, days_of_load(SUNNY_DAYS, minutes=60), minutes=60)
    record(operator, community, days_of_sun(SUNNY_DAYS), name="pv_kw")
    before = generate(operator, community, resolution_minutes=60)
    run = train(operator, community)
    assert (run["kind"], run["state"], run["progress"]) == ("training", "succeeded", {"done": 2, "total": 2})
    versions = answered(operator.get(run["links"]["result"]))["trained"]
    assert [(one["variable"], one["model"], one["version"]) for one in versions] == [
        ("load_kw", "ensemble", 1),
        ("pv_kw", "pvwatts", 1),
    ]
    for one, minutes in zip(versions, (60, 15), strict=True):
        assert (one["run_id"], one["resolution_minutes"]) == (run["run_id"], minutes)
        assert datetime.fromisoformat(one["as_of"]) == datetime.fromisoformat(one["data_end"]) == START
        assert one["scores"]["days"] == 14
        assert 0 < one["scores"]["model"]["pinball_loss_kw"] < one["scores"]["model"]["rmse_kw"]
        assert 0.5 < one["scores"]["seasonal_naive"]["coverage_90"] <= 1
        assert "drift" not in one
        assert one["taught_until"] is None
    check_worth(versions[0]["ensemble"])
    assert versions[1]["ensemble"] is None
    after = generate(operator, community, resolution_minutes=60)
    assert before["models"]["load_kw"] == "ridge_conformal"
    assert after["models"]["load_kw"] == "ensemble, trained version 1 of 2026-03-16T00:00Z"
    assert any("weighted by loss over the last" in one for one in after["provenance"]["assumptions"])
    check_forecast(after, steps=24, names=["load_kw", "pv_kw", "net_load_kw"])
    finer = generate(operator, community)
    assert finer["provenance"]["models"]["pv_kw"] == "pvwatts, trained version 1 of 2026-03-16T00:00Z"


def check_worth(ensemble: Any) -> None:
    """The members' weights add up wherever they are used, and the best one is told."""
    members = {one["model"]: one for one in ensemble["members"]}
    assert {"ridge", "boosting", "lstm", "prophet", "seasonal_naive"} == set(members)
    for part in ensemble["parts_of_day"]:
        for group in ensemble["groups"]:
            assert sum(one["weights"][part][group] for one in members.values()) == pytest.approx(1)
    assert sum(one["weight_mean"] for one in members.values()) == pytest.approx(1)
    assert min(one["loss_relative_to_best"] for one in members.values()) == 1
    assert (ensemble["last_day"], ensemble["left_out"]) == ("2026-03-15", [])
    assert 7 <= ensemble["days"] <= 56


def test_a_fit_in_the_asking_and_a_trained_version_say_the_same(operator: httpx.Client, metered: str):
    before = generate(operator, metered)
    train(operator, metered, models=["ridge_conformal"])
    after = generate(operator, metered)
    assert after["variables"] == before["variables"]
    assert after["models"]["load_kw"] == "ridge_conformal, trained version 1 of 2026-03-16T00:00Z"


def test_the_newest_version_that_was_known_makes_the_forecast(operator: httpx.Client, metered: str):
    earlier = (START - timedelta(days=2)).isoformat()
    record(operator, metered, days_of_load(10), end=START + timedelta(days=10))
    for as_of in (DAY["start_time"], earlier, DAY["start_time"]):
        assert train(operator, metered, models=["ridge_conformal"], as_of=as_of)["state"] == "succeeded"

    def model_of(days: float, **given: Any) -> str:
        start = (START + timedelta(days=days)).isoformat()
        return generate(operator, metered, start_time=start, variables=["load_kw"], **given)["models"]["load_kw"]

    assert model_of(0) == model_of(7) == "ridge_conformal, trained version 3 of 2026-03-16T00:00Z"
    assert model_of(-1) == "ridge_conformal, trained version 2 of 2026-03-14T00:00Z"
    assert model_of(0, as_of=earlier) == "ridge_conformal, trained version 2 of 2026-03-14T00:00Z"
    assert model_of(-3) == "ridge_conformal"
    assert model_of(8) == "ridge_conformal"


def test_what_a_trained_version_does_not_suit_is_fitted_anew(operator: httpx.Client, metered: str):
    train(operator, metered, models=["ridge_conformal"])
    for other in ({"resolution_minutes": 60}, {"horizon_hours": 24 * 7}, {"model": "ridge_conformal"}):
        forecast = generate(operator, metered, variables=["load_kw"], **other)
        check_forecast(forecast, steps=len(forecast["variables"]["load_kw"]["mean"]), names=["load_kw"])
        assert forecast["models"]["load_kw"] == "ridge_conformal"
    larger = {"community_id": metered, **EIGHT_NUMBERS, "num_prosumers": 120}
    answered(operator.put(f"/communities/{metered}", json=larger))
    assert "trained" not in generate(operator, metered)["models"]["load_kw"]


def test_training_sees_nothing_that_was_received_later(operator: httpx.Client, metered: str):
    train(operator, metered, variables=["load_kw"], models=["ridge"])
    record(operator, metered, [9e3] * 96 * 3, end=START + timedelta(days=3))
    record(operator, metered, [5e3] * 96, end=START - timedelta(days=10), delay_minutes=None)
    train(operator, metered, variables=["load_kw"], models=["ridge"])
    train(operator, metered, variables=["load_kw"], models=["ridge"], as_of=datetime.now(UTC).isoformat())
    latest, again, first = trained(operator, metered)
    assert (first["version"], again["version"], latest["version"]) == (1, 2, 3)
    assert again["sha256"] == first["sha256"]
    assert again["data_sha256"] == first["data_sha256"] != latest["data_sha256"]
    assert again["scores"] == first["scores"] != latest["scores"]


def test_a_dispatch_plans_with_the_trained_version(operator: httpx.Client, metered: str):
    train(operator, metered, models=["ridge_conformal"])
    plan = answered(operator.post(f"/communities/{metered}/optimization/dispatch", json=DAY))
    assert "trained version 1" in plan["provenance"]["models"]["load_kw"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"models": ["crystal_ball"]}, "/models"),
        ({"models": ["seasonal_naive"]}, "/models"),
        ({"models": ["pvwatts"], "variables": ["load_kw"]}, "/models"),
        ({"models": []}, "/models"),
        ({"variables": ["price"]}, "/variables/0"),
        ({"variables": []}, "/variables"),
        ({"as_of": "2999-01-01T00:00:00Z"}, "/as_of"),
        ({"as_of": "2026-03-16T00:00:00"}, "/as_of"),
        ({"model": "ridge"}, "/model"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_there_is_a_run(
    operator: httpx.Client, metered: str, body: Any, pointer: str
):
    refused(operator.post(f"/communities/{metered}/forecasting/train", json=body), 422, pointer=pointer)
    assert answered(operator.get("/runs", params={"community_id": metered}))["runs"] == []


def test_too_little_history_says_what_is_needed(operator: httpx.Client, community: str):
    path = f"/communities/{community}/forecasting/train"
    nothing = refused(operator.post(path, json={}), 409)
    assert nothing["type"] == "/problems/insufficient-data"
    record(operator, community, days_of_load(20))
    short = refused(operator.post(path, json={}), 409)
    assert (short["needed"], short["found"]) == (42, 20)
    assert "28 to learn from, then 14 to be judged on" in short["detail"]
    record(operator, community, days_of_sun(30), name="pv_kw")
    assert [one["model"] for one in trained(operator, community)] == []
    assert train(operator, community)["progress"] == {"done": 1, "total": 1}
    assert [(one["variable"], one["model"]) for one in trained(operator, community)] == [("pv_kw", "pvwatts")]
    refused(operator.post(path, json={"variables": ["load_kw", "pv_kw"]}), 409)


@pytest.fixture
def client(api: Api, operator: httpx.Client) -> Iterator[TwinClient]:
    access = operator.headers["Authorization"].removeprefix("Bearer ")
    with TwinClient(api.url, tokens=Tokens(access, "none")) as made:
        yield made


def test_the_client_trains_and_lists_models(client: TwinClient, operator: httpx.Client, community: str):
    record(operator, community, days_of_load(40), minutes=15)
    run = client.wait_for(client.train(community, models=["ridge"], as_of=START))
    assert run["state"] == "succeeded"
    models = client.models(community)
    assert [(one["variable"], one["model"]) for one in models["trained"]] == [("load_kw", "ridge")]
    assert {"ridge", "seasonal_naive"} <= {one["name"] for one in models["models"]}
    with pytest.raises(errors.InvalidInput):
        client.train(community, models=["seasonal_naive"])

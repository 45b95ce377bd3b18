"""What members are worth: shares that add up, losses told beside the best, days counted."""

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import MONDAY
from tests.histories import history
from tests.test_ensemble import ENSEMBLE, training

from digital_twin.forecasting.ensemble import LEVELS, FittedEnsemble
from digital_twin.forecasting.regression import ridge
from digital_twin.forecasting.scores import pinball_loss
from digital_twin.forecasting.worth import relative_losses, worth_of


@pytest.fixture(scope="module")
def fitted() -> FittedEnsemble:
    return ENSEMBLE.fit(training(history(70)))


def test_shares_are_those_that_forecasts_are_made_with(fitted: FittedEnsemble) -> None:
    worth = worth_of(fitted)
    assert worth is not None
    assert [one["model"] for one in worth["members"]] == ["ridge", "naive"]
    assert (worth["parts_of_day"], worth["groups"]) == (["00-08", "08-16", "16-24"], ["low", "middle", "high"])
    for place, member in enumerate(worth["members"]):
        for part, groups in enumerate(member["weights"].values()):
            np.testing.assert_array_equal(list(groups.values()), fitted.weights[part, :, place])
        assert member["weight_mean"] == pytest.approx(fitted.weights[:, :, place].mean())
    assert sum(one["weight_mean"] for one in worth["members"]) == pytest.approx(1)
    assert worth["days"] == fitted.past.day.size
    assert worth["last_day"] == str(MONDAY.date().replace(day=1))


def test_the_best_member_is_one_and_the_other_loses_as_many_times_what_it_lost(fitted: FittedEnsemble) -> None:
    best, other = relative_losses(fitted.past)
    ridges, naives = (pinball_loss(fitted.past.actual, one.astype(float), LEVELS) for one in fitted.past.members)
    assert best == 1
    assert other == pytest.approx(naives / ridges)


def test_members_that_never_answered_on_the_same_day_are_not_compared(fitted: FittedEnsemble) -> None:
    silent = np.full_like(fitted.past.members, np.nan)
    assert relative_losses(replace(fitted.past, members=silent)) == [None, None]
    never_wrong = np.broadcast_to(fitted.past.actual[..., None], fitted.past.members.shape)
    assert relative_losses(replace(fitted.past, members=never_wrong)) == [1, 1]


def test_a_model_of_one_piece_has_no_members() -> None:
    assert worth_of(ridge.fit(training(history(70)))) is None

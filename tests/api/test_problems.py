"""What an error of the domain becomes in HTTP."""

import json

from digital_twin.api.problems import twin_problem
from digital_twin.domain.errors import InsufficientData
from digital_twin.optimization.dispatch import PlanRefused
from digital_twin.optimization.tariffs import TariffRefused


class TooFewMeters(InsufficientData):
    """As a plug-in may make its own."""


def test_an_answer_that_failed_our_own_check_is_our_fault_and_says_what_to_do():
    for error in (PlanRefused("the plan failed; please report it"), TariffRefused("no prices; please report it")):
        response = twin_problem("request-1", error)
        assert response.status_code == 500
        assert json.loads(bytes(response.body))["detail"] == error.message


def test_a_plug_ins_error_has_the_status_of_what_it_is_made_of():
    assert twin_problem("request-1", TooFewMeters("more meters are needed")).status_code == 409

"""Stored singles come back as the decimals that were sent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from digital_twin.domain.series_days import Slots, shortest_decimals


@given(arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_infinity=False, allow_subnormal=False)))
def test_a_value_is_answered_in_the_fewest_digits_that_lead_back(slots: Slots) -> None:
    answered = shortest_decimals(slots)
    np.testing.assert_array_equal(answered.astype(np.float32), slots)
    for single, decimal in zip(slots.ravel(), answered.ravel(), strict=True):
        if 1e-10 < abs(single) < 1e15:
            assert decimal == float(str(single))


@pytest.mark.parametrize("sent", [41.3, 0.05, -0.1, 0.0, 999999.9, 1234567.0, 1e7, 0.3])
def test_a_meters_reading_comes_back_as_it_was_sent(sent: float) -> None:
    assert shortest_decimals(np.array([sent], dtype=np.float32))[0] == pytest.approx(sent, rel=1e-12)

"""How far readings can be trusted: what a source says of them, and what is found in them."""

from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY

from digital_twin.domain.quality import WORDS, Quality, quality_words
from digital_twin.domain.readings import SeriesKey, SeriesValues, check_readings
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import RESOLUTIONS_MINUTES, TimeGrid

NAN = float("nan")


def flagged(name: str, values: list[float], flags: list[int], *, minutes: int = 15) -> SeriesValues:
    grid = TimeGrid(MONDAY, len(values), minutes)
    return SeriesValues(SeriesKey(name), grid, np.array(values, dtype=np.float64), np.array(flags, dtype=np.uint8))


# What a source says


def test_every_quality_has_its_word() -> None:
    assert {quality.name.lower() for quality in Quality} == set(WORDS)
    assert all(WORDS[quality] == quality.name.lower() for quality in Quality)


def test_words_are_told_only_where_something_is_not_plainly_measured() -> None:
    values, plain = np.array([1.0, 2.0]), np.zeros(2, dtype=np.uint8)
    assert quality_words(values, None) is None
    assert quality_words(values, plain) is None
    assert quality_words(values, np.array([3, 0], dtype=np.uint8)) == ["suspect", "measured"]
    assert quality_words(np.array([1.0, NAN]), None) == ["measured", "missing"]
    assert quality_words(np.array([1.0, NAN]), np.array([1, 3], dtype=np.uint8)) == ["estimated", "missing"]


def test_a_refused_reading_leaves_the_flags_of_the_others_alone() -> None:
    kept, refused = check_readings(flagged("load_kw", [1, -5, 3], [1, 0, 3]), MONDAY + timedelta(days=1))
    assert quality_words(kept.values, kept.flags) == ["estimated", "missing", "suspect"]
    assert len(refused) == 1


@given(
    st.sampled_from(RESOLUTIONS_MINUTES),
    st.sampled_from(RESOLUTIONS_MINUTES),
    st.sampled_from(["load_kw", "storage_soc_kwh"]),
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
)
def test_an_interval_is_as_good_as_the_worst_it_is_made_of(
    fine: int, coarse: int, name: str, qualities: list[int]
) -> None:
    given = flagged(name, [1.0] * len(qualities), qualities, minutes=fine)
    there = resample(given, TimeGrid(MONDAY, -(-len(qualities) * fine // coarse), coarse))
    of_minute = np.repeat(qualities, fine)
    for index in np.flatnonzero(np.isfinite(there.values)):
        minutes = of_minute[index * coarse : (index + 1) * coarse]
        expected = minutes[0] if name == "storage_soc_kwh" else minutes.max()
        assert (0 if there.flags is None else there.flags[index]) == expected
    assert there.flags is None or there.flags.any()

"""Topics and payloads: whatever is published gives readings or reasons, and never anything else."""

import json
import math
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import jsonpath
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.quality import Quality
from digital_twin.domain.readings import SeriesKey
from digital_twin.domain.topics import (
    MAX_TOPIC_LENGTH,
    Pick,
    TimeFormat,
    TimeMapping,
    TimeMark,
    TopicMapping,
    TopicTemplate,
    ValueMapping,
    settle,
)
from digital_twin.domain.units import SeriesKind
from digital_twin.services.payloads import Findings, PayloadReader
from digital_twin.services.topic_routes import Route, TopicRoutes, fits

TOPIC = "communities/valley/home_1/meter"
TEMPLATE = TopicTemplate("communities/valley/{member_id}/meter")
POWER = ValueMapping("load_kw", "$.power", "W")
METER = TopicMapping("meter", TEMPLATE, (POWER,), time=TimeMapping("$.time"))
LEVELS = st.lists(st.sampled_from(["a", "b", "+", "{member_id}", "{asset_id}"]), min_size=1, max_size=4, unique=True)
NAMES = ["time", "power", "items", "q", "x"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-(2**70), 2**70) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=12,
)


def read(mapping: TopicMapping, document: Any, *, topic: str = TOPIC, received_at: datetime = MONDAY) -> Findings:
    payload = document if isinstance(document, bytes) else orjson.dumps(document)
    return PayloadReader(mapping).read(topic, payload, received_at)


def only(findings: Findings) -> float:
    assert not findings.reasons
    [sample] = findings.samples
    return sample.value


# Topics


@pytest.mark.parametrize(
    "topic",
    [
        *("", "/a", "a//b", "a/", "$SYS/x", "a/#", "a+/b", "a/{member}", "a/{member_id", "a{member_id}/b", "a/b\n"),
        *("a/\x00", "{member_id}/{member_id}", "x" * (MAX_TOPIC_LENGTH + 1), "ä" * MAX_TOPIC_LENGTH),
    ],
)
def test_a_topic_that_no_message_should_be_read_from_is_refused(topic: str) -> None:
    with pytest.raises(InvalidInput):
        TopicTemplate(topic)


def test_a_template_subscribes_to_whatever_its_placeholders_may_be() -> None:
    template = TopicTemplate("homes/{member_id}/+/{asset_id}")
    assert template.filter == "homes/+/+/+"
    assert template.named_in("homes/h1/any/roof") == {"member_id": "h1", "asset_id": "roof"}


@pytest.mark.parametrize(
    ("topic", "is_own"),
    [
        ("communities/valley/meter", True),
        ("communities/valley/{member_id}/+", True),
        ("communities/valley", False),
        ("communities/valley2/meter", False),
        ("communities/+/meter", False),
        ("communities/{member_id}/meter", False),
        ("+/valley/meter", False),
        ("valley/meter", False),
    ],
)
def test_a_community_owns_the_topics_below_its_id_and_no_others(topic: str, is_own: bool) -> None:
    assert TopicTemplate(topic).belongs_to("valley") is is_own


@given(st.lists(LEVELS, max_size=8), st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
def test_routes_find_exactly_the_mappings_whose_topic_fits(templates: list[list[str]], levels: list[str]) -> None:
    topic, names = "/".join(levels), ["/".join(template) for template in templates]
    mappings = [replace(METER, mapping_id=f"m{place}", topic=TopicTemplate(name)) for place, name in enumerate(names)]
    routes = TopicRoutes(Route("valley", PayloadReader(one)) for one in mappings)
    found = {route.reader.mapping.mapping_id for route in routes.of(topic)}
    assert found == {one.mapping_id for one in mappings if fits(one.topic, topic)}
    assert routes.filters == {one.topic.filter for one in mappings}


# Mappings


@pytest.mark.parametrize(
    ("given_values", "field"),
    [
        ({"resolution_minutes": 7}, "resolution_minutes"),
        ({"member_id": "home_2"}, "member_id"),
        ({"values": ()}, "values"),
        ({"values": (POWER, POWER)}, "values"),
        ({"items_path": "$.items", "time": None}, "time"),
        ({"values": (replace(POWER, unit="V"),)}, "values.0.unit"),
        ({"values": (replace(POWER, series="load"),)}, "values.0.series"),
        ({"values": (replace(POWER, scale=0.0),)}, "values.0.scale"),
        ({"values": (replace(POWER, unit="Wh", kind=SeriesKind.ENERGY, samples=Pick.MEAN),)}, "values.0.samples"),
        ({"topic": TopicTemplate("a/b"), "values": (replace(POWER, series="fridge_kw"),)}, "values.0.series"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused_where_it_does_not(given_values: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        replace(METER, **given_values)
    assert refused.value.facts["field"] == field


@pytest.mark.parametrize(
    "path",
    ["", "power", "$.", "$..power", "$.*", "$[*]", "$[0:2]", "$[?@.a]", "$.a | $.b", "$[", "$.a b", "$" + ".a" * 200],
)
def test_a_path_that_is_none_or_leads_to_many_places_is_refused(path: str) -> None:
    for mapping in (
        replace(METER, values=(replace(POWER, path=path),)),
        replace(METER, values=(replace(POWER, quality_path=path),)),
        replace(METER, items_path=path),
        replace(METER, time=TimeMapping(path)),
    ):
        with pytest.raises(InvalidInput, match="must be a JSON path"):
            PayloadReader(mapping)


PATHS = st.lists(st.sampled_from([".x", ".q", "[0]", "[-1]", "['a b']"]), max_size=3).map(
    lambda steps: "".join(["$", *steps])
)


@given(PATHS, JSON)
def test_a_path_leads_where_the_library_says(path: str, document: Any) -> None:
    payload = json.dumps(document).encode()
    expected = jsonpath.JSONPathEnvironment(strict=True).compile(path).findall(orjson.loads(payload))
    value = replace(POWER, path=path, unit=None)
    findings = read(replace(METER, values=(value,), time=None), payload)
    is_there = f"load_kw: there is nothing at {path}" not in findings.reasons
    assert is_there == bool(expected)
    if findings.samples:
        assert [sample.value for sample in findings.samples] == expected


# Payloads


@given(
    st.binary(max_size=60) | JSON.map(lambda one: json.dumps(one).encode()),
    st.sampled_from([None, "$.items"]),
    st.sampled_from(TimeFormat),
)
def test_any_payload_gives_samples_or_reasons_and_never_an_exception(
    payload: bytes, items_path: str | None, time_format: TimeFormat
) -> None:
    values = (replace(POWER, quality_path="$.q"), ValueMapping("pv_kw", "$.x[0]", scale=1e9))
    mapping = replace(
        METER, values=values, items_path=items_path, time=TimeMapping("$.time", time_format, TimeMark.END)
    )
    findings = read(mapping, payload)
    for sample in findings.samples:
        assert math.isfinite(sample.value)
        assert sample.start <= sample.at < sample.ends
        assert sample.key.member_id == "home_1"


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6, exclude_min=True).filter(bool))
def test_a_value_is_the_payloads_times_scale_in_the_unit_of_the_series(value: float, scale: float) -> None:
    mapping = replace(METER, values=(replace(POWER, scale=scale),))
    assert only(read(mapping, {"time": "2026-03-02T00:00:00Z", "power": value})) == value * scale * 1e-3


def test_an_energy_of_an_interval_becomes_its_mean_power() -> None:
    mapping = replace(METER, values=(replace(POWER, unit="Wh", kind=SeriesKind.ENERGY),))
    assert only(read(mapping, {"time": "2026-03-02T00:00:00Z", "power": 500})) == 2.0


def test_a_payload_may_be_just_a_number_that_belongs_to_the_interval_it_arrives_in() -> None:
    mapping = replace(METER, values=(ValueMapping("load_kw"),), time=None)
    findings = read(mapping, b"1.5", received_at=MONDAY + timedelta(minutes=29, seconds=59))
    assert only(findings) == 1.5
    assert findings.samples[0].start == MONDAY + timedelta(minutes=15)


@pytest.mark.parametrize(
    ("time_format", "given_time"),
    [
        (TimeFormat.RFC3339, "2026-03-02T00:20:00Z"),
        (TimeFormat.RFC3339, "2026-03-02T06:05:00+05:45"),
        (TimeFormat.SECONDS, 1772410800),
        (TimeFormat.SECONDS, 1772410800.0),
        (TimeFormat.MILLISECONDS, 1772410800000),
    ],
)
def test_times_of_every_format_name_the_interval_that_holds_them(time_format: TimeFormat, given_time: Any) -> None:
    mapping = replace(METER, time=TimeMapping("$.time", time_format))
    [sample] = read(mapping, {"time": given_time, "power": 1}).samples
    assert (sample.at, sample.start) == (MONDAY + timedelta(minutes=20), MONDAY + timedelta(minutes=15))


@given(st.integers(1, 1800))
def test_a_time_that_marks_the_end_names_the_interval_before_it(seconds: int) -> None:
    mapping = replace(METER, time=TimeMapping("$.time", TimeFormat.SECONDS, TimeMark.END))
    end = MONDAY + timedelta(seconds=seconds)
    [sample] = read(mapping, {"time": end.timestamp(), "power": 1}).samples
    assert sample.start < end <= sample.ends


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"power": NaN}', "not JSON"),
        ({"power": 1}, r"nothing at \$\.time"),
        ({"time": 5, "power": 1}, "no RFC 3339 time"),
        ({"time": "yesterday", "power": 1}, "no rfc3339 time"),
        ({"time": "2026-03-02T00:00:00", "power": 1}, "time zone"),
        ({"time": "2106-02-07T06:28:15Z", "power": 1}, r"1970\.\.2100"),
        ({"time": "2026-03-02T00:00:00Z"}, r"load_kw: there is nothing at \$\.power"),
        ({"time": "2026-03-02T00:00:00Z", "power": "1.5"}, "no number"),
        ({"time": "2026-03-02T00:00:00Z", "power": True}, "no number"),
        ([1], "nothing at"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(document: Any, reason: str) -> None:
    findings = read(METER, document)
    assert not findings.samples
    [told] = findings.reasons
    assert re.search(reason, told)


def test_of_several_values_those_that_can_be_read_are() -> None:
    mapping = replace(METER, values=(POWER, ValueMapping("pv_kw", "$.pv")))
    findings = read(mapping, {"time": "2026-03-02T00:00:00Z", "power": 100, "pv": "none"})
    assert [sample.key.name for sample in findings.samples] == ["load_kw"]
    assert findings.reasons == ["pv_kw: there is no number at $.pv"]


def test_null_says_that_there_is_no_value() -> None:
    findings = read(METER, {"time": "2026-03-02T00:00:00Z", "power": None})
    assert not findings.samples
    assert not findings.reasons


def test_items_are_read_one_by_one_and_bad_ones_are_named() -> None:
    mapping = replace(METER, items_path="$.items")
    items = [{"time": f"2026-03-02T0{hour}:00:00Z", "power": hour} for hour in range(3)]
    findings = read(mapping, {"items": [items[0], {"power": 1}, items[2]]})
    assert [sample.value for sample in findings.samples] == [0.0, 0.002]
    assert findings.reasons == ["item 1: there is nothing at $.time"]
    assert read(mapping, {"items": 5}).reasons == ["there is no list at $.items"]


def test_a_quality_comes_with_its_value() -> None:
    mapping = replace(METER, values=(replace(POWER, quality_path="$.q"),))
    document = {"time": "2026-03-02T00:00:00Z", "power": 1}
    assert read(mapping, {**document, "q": "estimated"}).samples[0].quality == Quality.ESTIMATED
    assert read(mapping, {**document, "q": None}).samples[0].quality == Quality.MEASURED
    assert not read(mapping, {**document, "q": "missing"}).samples
    assert "quality must be one of" in read(mapping, {**document, "q": ["good"]}).reasons[0]


def test_series_belong_to_whom_topic_or_mapping_names() -> None:
    document = {"time": "2026-03-02T00:00:00Z", "power": 1}
    by_asset = replace(METER, topic=TopicTemplate("x/{asset_id}"), member_id="home_2")
    [sample] = read(by_asset, document, topic="x/roof_1").samples
    assert sample.key == SeriesKey("load_kw", "home_2", "roof_1")
    [sample] = read(replace(METER, topic=TopicTemplate("x/+")), document, topic="x/y").samples
    assert sample.key == SeriesKey("load_kw")
    assert "member_id must be" in read(METER, document, topic="communities/valley/höme/meter").reasons[0]


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 3)), min_size=1))
def test_samples_make_one_value_within_them(samples: list[tuple[float, int]]) -> None:
    values, qualities = [value for value, _ in samples], [quality for _, quality in samples]
    assert settle(Pick.FIRST, values, qualities) == samples[0]
    assert settle(Pick.LAST, values, qualities) == samples[-1]
    mean, quality = settle(Pick.MEAN, values, qualities)
    assert mean == pytest.approx(sum(values) / len(values), rel=1e-9, abs=1e-6)
    assert quality == max(qualities)

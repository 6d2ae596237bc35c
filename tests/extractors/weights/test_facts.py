from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from extractors.weights.facts import KEY, KEYS, OPTIONAL, Framing, WeightFacts, plain, read_facts
from extractors.weights.files import WeightsError

FILE = Path("w.safetensors")
FACTS = WeightFacts(
    network="resnet18",
    classes=("calm", "angry", "glad"),
    image_size=29,
    grey=True,
    detail=13,
    framing=Framing(0.5, 0.125),
    seed=7,
    settings={"epochs": 3},
    data={"name": "faces"},
    metrics={"accuracy": 0.8125, "num_images": 1616, "split": "faces test"},
)


def stated(**changes: Any) -> dict[str, str]:
    """The header of ``FACTS`` with some values changed; ``...`` leaves one out."""
    values = json.loads(FACTS.to_metadata()[KEY]) | changes
    return {KEY: json.dumps({name: value for name, value in values.items() if value is not ...})}


def test_facts_are_read_back_as_they_were_written() -> None:
    assert read_facts(FACTS.to_metadata(), FILE) == FACTS


def test_classes_have_avfuses_names_whatever_the_file_calls_them() -> None:
    said = read_facts(stated(classes=["happiness", "sadness", "contempt"]), FILE)
    assert said is not None
    assert said.classes == ("happy", "sad", "contempt")
    both = read_facts(stated(classes=["anger", "angry"]), FILE)  # two, and two they stay
    assert both is not None
    assert both.classes == ("anger", "angry")


def test_a_file_that_says_nothing_has_no_facts() -> None:
    assert read_facts({"format": "pt"}, FILE) is None


def test_only_what_older_files_lack_may_be_left_out() -> None:
    more = replace(
        FACTS,
        start="random weights",
        half=True,
        versions={"avfuse": "0.1.0"},
        temperature=1.25,
        logit_bias=(0.5, 0.0, -0.25),
    )
    assert json.loads(more.to_metadata()[KEY])["from"] == "random weights"
    assert read_facts(more.to_metadata(), FILE) == more
    assert set(json.loads(FACTS.to_metadata()[KEY])) == KEYS - OPTIONAL


@pytest.mark.parametrize("key", sorted(json.loads(FACTS.to_metadata()[KEY])))
def test_a_key_that_is_missing_or_renamed_is_refused_by_name(key: str) -> None:
    with pytest.raises(WeightsError, match=f"w.safetensors: its header states no {key}$"):
        read_facts(stated(**{key: ...}), FILE)
    with pytest.raises(WeightsError, match=f"w.safetensors: its header states no {key}$"):
        read_facts(stated(**{key: ..., f"{key}_": 0}), FILE)


def test_a_key_of_another_version_is_refused_by_name() -> None:
    with pytest.raises(WeightsError, match=r"states a\\x1b, form, which this version of avfuse"):
        read_facts(stated(**{"form": "here", "a\x1b": 1}), FILE)


def test_the_accuracy_is_told_with_what_it_was_measured_on() -> None:
    assert FACTS.accuracy == "81.25 % of 1,616 images of faces test"
    assert WeightFacts("ir50", (), 112, grey=False).accuracy == ""
    assert WeightFacts("ir50", (), 112, grey=False, metrics={"accuracy": "0.9"}).accuracy == ""
    assert WeightFacts("ir50", (), 112, grey=False, metrics={"accuracy": 7}).accuracy == ""


def test_text_from_a_file_cannot_move_the_cursor() -> None:
    assert plain("a\x1b[2J\n") == "a\\x1b[2J\\n"
    hostile = WeightFacts("x", (), 1, grey=True, metrics={"accuracy": 0.5, "split": "\x1b]0;x\x07"})
    assert hostile.accuracy == "50.00 % of \\x1b]0;x\\x07"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "a\x1b[2J"}, "expected a name"),
        ({"classes": "happy"}, "classes 'happy', expected at most 1000 names"),
        ({"classes": ["x"] * 1001}, "expected at most 1000 names"),
        ({"classes": ["x", 3]}, "classes 3, expected a name"),
        ({"classes": ["x", "x"]}, "a class twice: x, x"),
        ({"image_size": 0}, "image_size 0, expected a whole number from 1 to 4096"),
        ({"image_size": 10**9}, "image_size 1000000000"),
        ({"image_size": 96.0}, "image_size 96.0"),
        ({"image_size": True}, "image_size True"),
        ({"grey": 1}, "grey 1, expected true or false"),
        ({"detail": -1}, "detail -1, expected a whole number from 0"),
        ({"seed": "0"}, "seed '0'"),
        ({"from": None}, "from None, expected a text"),
        ({"half": 1}, "half 1, expected true or false"),
        ({"versions": "1"}, "versions '1', expected an object"),
        ({"metrics": []}, r"metrics \[\], expected an object"),
        ({"temperature": 0}, "temperature 0, expected a number from 0.05 to 20"),
        ({"temperature": True}, "temperature True"),
        ({"temperature": 10**400}, "temperature 1000"),
        ({"logit_bias": [1, 2]}, "logit_bias of 2 numbers for 3 classes"),
        ({"logit_bias": 1}, "logit_bias of 1 numbers for 3 classes"),
        ({"logit_bias": [0, 0, "1"]}, "expected numbers from -20.0 to 20"),
        ({"logit_bias": [0, 0, 21]}, "expected numbers from -20.0 to 20"),
        ({"framing": {"extend": 0.5}}, "framing .* expected extend and lift"),
        ({"framing": {"extend": 5, "lift": 0}}, "extend from 0 to 4 and lift from -1 to 1"),
        ({"framing": {"extend": 0.3, "lift": "up"}}, "extend from 0 to 4 and lift from -1 to 1"),
    ],
)
def test_facts_of_another_kind_are_refused_naming_file_and_value(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(WeightsError, match=f"w.safetensors: its header states .*{message}"):
        read_facts(stated(**changes), FILE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"image_size": NaN}', "is not JSON: NaN is no number"),
        ("[1]", r"expected a JSON object under 'avfuse', got \[1\]"),
        ("x" * 200_001, "200001 characters; at most 200000"),
    ],
)
def test_a_header_that_is_no_json_object_is_refused(text: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        read_facts({KEY: text}, FILE)

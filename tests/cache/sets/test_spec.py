from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest

from cache.sets.spec import SetError, SetSpec, spec_difference

SPEC = SetSpec(
    "resnet18",
    {"size": 13, "views": {"scales": [1.0, 1.03], "flip": True}},
    version=2,
    weights="a" * 64,
    upstream={"faces": "b" * 64},
)


def test_the_key_is_the_sha256_of_the_canonical_json_and_names_the_folder() -> None:
    text = json.dumps(SPEC.to_json(), sort_keys=True, separators=(",", ":"))
    assert SPEC.key == hashlib.sha256(text.encode()).hexdigest()
    assert SPEC.folder == f"resnet18-{SPEC.key[:16]}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "ir50"}, "name: resnet18 -> ir50"),
        (
            {"settings": {"size": 17, "views": {"scales": [1.0, 1.03], "flip": True}}},
            "settings.size: 13 -> 17",
        ),
        (
            {"settings": {"size": 13, "views": {"scales": [1.0], "flip": True}}},
            "settings.views.scales: [1.0,1.03] -> [1.0]",
        ),
        (
            {"settings": {"size": 13, "views": {"scales": [1.0, 1.03]}}},
            "settings.views.flip: true -> (absent)",
        ),
        ({"version": 3}, "version: 2 -> 3"),
        ({"weights": "c" * 64}, "weights: aaaaaaaaaaaa -> cccccccccccc"),
        ({"weights": None}, "weights: aaaaaaaaaaaa -> null"),
        ({"upstream": {"faces": "c" * 64}}, "upstream.faces: bbbbbbbbbbbb -> cccccccccccc"),
        ({"upstream": {}}, "upstream.faces: bbbbbbbbbbbb -> (absent)"),
        ({"untrained": True}, "untrained: false -> true"),
    ],
)
def test_every_field_changes_the_key_and_the_difference_names_it(
    change: dict[str, Any], expected: str
) -> None:
    other = dataclasses.replace(SPEC, **change)
    assert other.key != SPEC.key
    assert spec_difference(SPEC, other) == [expected]


def test_equal_specs_have_one_key_and_no_difference_in_whatever_order_they_were_built() -> None:
    other = SetSpec.from_json(json.loads(json.dumps(SPEC.to_json(), sort_keys=True)))
    assert other.key == SPEC.key
    assert spec_difference(SPEC, other) == []


def test_numbers_and_texts_that_look_alike_have_other_keys_and_are_listed() -> None:
    one, other = SetSpec("a", {"x": 1}, 1), SetSpec("a", {"x": "1"}, 1)
    assert one.key != other.key
    assert spec_difference(one, other) == ["settings.x: 1 -> 1"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "é", "a" * 101])
def test_a_name_that_can_not_be_a_folders_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="can't name a feature set"):
        SetSpec(name, {}, 1)


def test_a_key_of_another_form_and_settings_that_are_not_json_are_refused() -> None:
    with pytest.raises(ValueError, match="the key of faces is not 64 hex digits: abc"):
        SetSpec("a", {}, 1, upstream={"faces": "abc"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        SetSpec("a", {"x": float("nan")}, 1)


@pytest.mark.parametrize("values", [{}, {"name": "a", "settings": {}, "version": 1, "x": 2}])
def test_a_spec_with_fields_missing_or_unknown_is_damaged(values: dict[str, Any]) -> None:
    with pytest.raises(SetError, match="the spec of a feature set is damaged"):
        SetSpec.from_json(values)

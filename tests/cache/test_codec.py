from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cache.codec import JsonFields, fields_from_json, fields_to_json, read_object
from cache.digest import JSON


@dataclass(frozen=True, slots=True)
class Inner(JsonFields):
    steps: int
    name: str | None = None


@dataclass(frozen=True)
class Percent:
    share: float

    def to_json(self) -> str:
        return f"{self.share:.0%}"

    @classmethod
    def from_json(cls, text: str) -> Percent:
        return cls(int(text.rstrip("%")) / 100)


@dataclass(frozen=True)
class Outer(JsonFields):
    inner: Inner | None
    path: Path
    sizes: tuple[int, ...]
    rows: tuple[tuple[float, ...], ...]
    by_name: Mapping[str, Inner]
    facts: Mapping[str, JSON]
    share: Percent
    others: list[Inner] = field(default_factory=list)


OUTER = Outer(
    Inner(3, "a"),
    Path("/a/b.mp4"),
    (5, 7),
    ((0.5,), (1.0, 2.0)),
    {"x": Inner(11)},
    {"list": [13, {"y": None}], "text": "abc"},
    Percent(0.17),
    [Inner(19)],
)
VALUES: dict[str, Any] = {
    "inner": {"steps": 3, "name": "a"},
    "path": "/a/b.mp4",
    "sizes": [5, 7],
    "rows": [[0.5], [1.0, 2.0]],
    "by_name": {"x": {"steps": 11, "name": None}},
    "facts": {"list": [13, {"y": None}], "text": "abc"},
    "share": "17%",
    "others": [{"steps": 19, "name": None}],
}


def test_an_object_is_written_as_its_fields_in_their_order() -> None:
    assert OUTER.to_json() == VALUES
    assert list(OUTER.to_json()) == list(VALUES)


def test_what_was_written_is_read_back_as_the_same_object() -> None:
    assert Outer.from_json(json.loads(json.dumps(OUTER.to_json()))) == OUTER
    nothing = Outer.from_json({**VALUES, "inner": None})
    assert nothing.inner is None


def test_a_field_with_a_default_may_be_missing() -> None:
    assert Inner.from_json({"steps": 23}) == Inner(23)


def test_a_field_that_is_missing_or_unknown_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="steps"):
        Inner.from_json({"name": "a"})
    with pytest.raises(TypeError, match="stepz"):
        Outer.from_json({**VALUES, "inner": {"stepz": 3}})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("sizes", "57", "a list"), ("by_name", [3], "an object"), ("inner", 3, "fields of Inner")],
)
def test_a_list_or_object_that_is_something_else_is_refused(
    name: str, value: object, expected: str
) -> None:
    with pytest.raises(TypeError, match=expected):
        Outer.from_json({**VALUES, name: value})


def test_a_dataclass_without_the_base_is_written_and_read_as_well() -> None:
    @dataclass(frozen=True)
    class Plain:
        sizes: tuple[int, ...] = (2, 3)

    assert fields_to_json(Plain()) == {"sizes": [2, 3]}
    assert fields_from_json(Plain, {"sizes": [5, 7]}) == Plain((5, 7))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sizes": [5, True]}, r"sizes\[1\] is True, expected a whole number"),
        ({"sizes": [2**63]}, r"sizes\[0\] is 9223372036854775808, expected a whole number"),
        ({"rows": [[0.5], [float("inf")]]}, r"rows\[1\]\[0\] is inf, expected a finite number"),
        ({"by_name": {"x": {"steps": None}}}, r"by_name\['x'\]\.steps is None, expected a whole"),
        ({"inner": {"steps": 3, "name": 5}}, r"inner\.name is 5, expected a text or null"),
        ({"path": "a\0b"}, r"path is 'a\\x00b', expected a path"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_place(change: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Outer.from_json({**VALUES, **change})


def test_what_is_no_json_object_or_no_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text, said in (
        ("[" * 100_000, "nested too deep"),
        ("[1]", "expected a JSON object"),
        ('{"a": NaN}', "NaN is not a number"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            read_object(path)
    with pytest.raises(ValueError, match="it has 10 bytes, expected at most 9"):
        read_object(path, most_bytes=9)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="it is not a file"):
        read_object(path.parent)
    with pytest.raises(ValueError, match="it is not a file"):
        read_object(path)

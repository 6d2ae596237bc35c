"""Names of the numbers in an array's rows."""

from __future__ import annotations

from typing import Any

import pytest

from cache.sets.main_array import number_names


def test_numbers_have_the_names_that_an_entry_states() -> None:
    attributes = {"numbers": {"functionals": ["pitch_hz.p05", "level_db"]}}
    assert number_names("clip/functionals", 2, attributes) == ["pitch_hz.p05", "level_db"]


@pytest.mark.parametrize(
    "stated",
    [
        None,
        "ab",
        {},
        {"steps": "ab"},
        {"steps": ["a"]},
        {"steps": ["a", 2]},
        {"steps": ["a", ["b"]]},
        {"steps": ["a", "a"]},
        {"steps": ["a", "=cmd()"]},
        {"steps": ["a", "b,c"]},
    ],
)
def test_names_that_can_t_be_columns_count_as_none(stated: Any) -> None:
    assert number_names("steps", 2, {"numbers": stated}) == ["v0", "v1"]

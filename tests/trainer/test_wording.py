"""Lists in messages."""

from __future__ import annotations

from trainer.wording import name_by_reason, name_some


def test_long_lists_of_names_are_cut() -> None:
    assert name_some("abc") == "a, b, c"
    assert name_some("abcde", limit=3) == "a, b, c and 2 more"


def test_clips_of_one_reason_are_named_together() -> None:
    assert name_by_reason({"a": "no face", "b": "no sound", "c": "no face"}) == (
        "a, c (no face); b (no sound)"
    )
    many = name_by_reason({f"c{i}": f"r{i}" for i in range(11)})
    assert many.endswith("c7 (r7); and 3 more reasons")

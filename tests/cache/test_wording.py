"""Counts in messages."""

from __future__ import annotations

from cache.wording import number_of


def test_one_is_no_plural() -> None:
    assert [number_of(number, "clip") for number in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
    assert (number_of(1, "entry"), number_of(3, "entry")) == ("1 entry", "3 entries")

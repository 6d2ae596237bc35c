"""Counts in messages, and text from files that is safe to look at."""

from __future__ import annotations

import json
import sys
import unicodedata

from cache.wording import name_by_reason, name_some, number_of, show_controls


def test_one_is_no_plural() -> None:
    assert [number_of(number, "clip") for number in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
    assert (number_of(1, "entry"), number_of(3, "entry")) == ("1 entry", "3 entries")
    assert (number_of(1, "process"), number_of(3, "process")) == ("1 process", "3 processes")


def test_every_control_character_becomes_visible_and_all_else_stays() -> None:
    for code in (*range(0x3000), *range(0xD7F0, 0xE010), 0xFEFF, 0x1F600, sys.maxunicode):
        text = chr(code)
        shown = show_controls(text)
        control = unicodedata.category(text) in ("Cc", "Cs") and text not in "\n\t"
        turns = unicodedata.bidirectional(text) in (
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        )  # fmt: skip
        if control or turns:
            assert shown.isascii()
            assert shown.startswith("\\")
        elif text not in "\u061c\u200e\u200f\u2028\u2029":  # marks, and ends of lines
            assert shown == text
    assert show_controls("sad \x1b[2J\r\u202e") == "sad \\x1b[2J\\x0d\\u202e"


def test_json_reads_back_as_it_was() -> None:
    text = "".join(map(chr, range(0x3000)))
    assert json.loads(show_controls(json.dumps(text, ensure_ascii=False))) == text


def test_long_lists_of_names_are_cut() -> None:
    assert name_some("abc") == "a, b, c"
    assert name_some("abcde", limit=3) == "a, b, c and 2 more"


def test_clips_of_one_reason_are_named_together() -> None:
    assert name_by_reason({"a": "no face", "b": "no sound", "c": "no face"}) == (
        "a, c (no face); b (no sound)"
    )
    many = name_by_reason({f"c{i}": f"r{i}" for i in range(11)})
    assert many.endswith("c7 (r7); and 3 more reasons")

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis", reason="properties are tested with hypothesis")

from hypothesis import given
from hypothesis import strategies as st

from cache.manifest.clip_id import (
    MAX_CLIP_ID_LENGTH,
    as_clip_id,
    check_clip_id,
    escape_clip_id,
    unescape_clip_id,
)

# Worked out by hand from the rules in the module's docstring.
ESCAPED = {
    "03-01-06-01-02-01-12": "03-01-06-01-02-01-12",
    "angry/clip01.mp4": "angry--clip01.mp4",
    "angry/clip 01.mp4": "angry--clip.-20-01.mp4",
    "é": "0.--.-c3a9-",
    "a--b": "a.-2d2d-b",
    "a-/b": "a.-2d---b",
    "a.-b": "a.-2e--b",
    "a./b": "a.-2e---b",
    "_x": "0.--_x",
    "../x": "0.--..-2e---x",
    "": "0.--",
    "a\udcffb": "a.-ff-b",
}


@pytest.mark.parametrize(("text", "clip_id"), ESCAPED.items())
def test_text_escapes_as_worked_out_and_back(text: str, clip_id: str) -> None:
    assert escape_clip_id(text) == clip_id
    assert unescape_clip_id(clip_id) == text


def test_an_id_stays_as_it_is_and_other_text_is_escaped() -> None:
    assert as_clip_id("a--b") == "a--b"
    assert as_clip_id("a b") == "a.-20-b"
    with pytest.raises(ValueError, match="has 201 characters"):
        as_clip_id("a" * 201)


@pytest.mark.slow
@given(st.text(st.characters(codec="utf-8"), max_size=30) | st.text("-./a0_ é", max_size=20))
def test_any_text_escapes_to_an_id_and_back(text: str) -> None:
    clip_id = escape_clip_id(text)
    assert check_clip_id(clip_id) == clip_id
    assert unescape_clip_id(clip_id) == text


@given(st.text("-.0a2de_", max_size=20))
def test_no_two_texts_share_an_id(clip_id: str) -> None:
    try:
        text = unescape_clip_id(clip_id)
    except ValueError:
        return
    assert escape_clip_id(text) == clip_id


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a/b", "../a", "_a", "-a", ".a", "a b", "é", "a\n", "a\0", "a\\b"]
)
def test_what_could_leave_a_folder_or_upset_a_disk_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not a clip id; expected letters"):
        check_clip_id(text)


def test_an_id_has_at_most_200_characters() -> None:
    assert check_clip_id("a" * MAX_CLIP_ID_LENGTH)
    with pytest.raises(ValueError, match="has 201 characters; at most 200"):
        check_clip_id("a" * 201)


def test_text_that_would_be_too_long_is_refused_rather_than_cut() -> None:
    with pytest.raises(ValueError, match="has 207 characters; at most 200"):
        escape_clip_id("a" * 100 + "é" + "a" * 100)


def test_a_lone_surrogate_that_stands_for_no_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="can't become a clip id: surrogates not allowed"):
        escape_clip_id("a\ud800")


@pytest.mark.parametrize("clip_id", ["a.-2-b", "a.-20", "a b", "a.-41-", "0.--a", "a---b"])
def test_what_no_text_escapes_to_is_refused(clip_id: str) -> None:
    with pytest.raises(ValueError, match="is not an escaped clip id"):
        unescape_clip_id(clip_id)

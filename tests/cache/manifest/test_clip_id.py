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
    "dia0_utt0.mp4": "dia0_utt0.mp4",
    "subject 1/anger/s1_an_1.avi": "subject.-20-1--anger--s1_an_1.avi",
    "Müller/1.mp4": "M.-c3bc-ller--1.mp4",
    "高兴.mp4": "0.--.-e9ab98e585b4-.mp4",
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
    assert as_clip_id("a" * 200) == "a" * 200


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


# The digests are sha256sum's of the text.
DIGESTED = {
    "a" * 201: "a" * 165 + ".-za92efd82109373e58f9a2056dee01e80",
    "高兴/" + "争吵" * 20 + "00_12.mp4": "0.--_--_00_12.mp4.-z8842900116a5a3a443d553c2514d94c5",
    "dir/-b c" + "é" * 90 + "/ü.mp4": "dir---b_c_--_.mp4.-z9c56d8893508883dde9b1eb84cd37afe",
}


@pytest.mark.parametrize(("text", "clip_id"), DIGESTED.items())
def test_text_too_long_for_an_id_ends_in_its_digest(text: str, clip_id: str) -> None:
    assert escape_clip_id(text) == clip_id == as_clip_id(text)
    assert check_clip_id(clip_id) == clip_id
    with pytest.raises(ValueError, match="is not an escaped clip id"):
        unescape_clip_id(clip_id)


def test_the_longest_text_that_can_be_undone_is_not_digested() -> None:
    assert escape_clip_id("a" * MAX_CLIP_ID_LENGTH) == "a" * MAX_CLIP_ID_LENGTH
    longest = "a" * 193 + "é"  # the escape of é has seven characters
    assert unescape_clip_id(escape_clip_id(longest)) == longest
    assert ".-z" in escape_clip_id("a" + longest)


def test_long_texts_that_differ_anywhere_or_in_case_have_ids_that_differ_in_more() -> None:
    texts = ["a" * 300, "a" * 299 + "b", "b" + "a" * 299, "A" + "a" * 299, "é" * 90, "e\u0301" * 60]
    assert len({escape_clip_id(text).lower() for text in texts}) == len(texts)


# Names of files that upset something somewhere; each must be a clip.
ODD_NAMES = [
    "é.mp4", "e\u0301.mp4", "Grüße.mp4", "笑.mp4", "🙂.mp4", "\u202eابتسامة.mp4", "a b.mp4",
    "'a'.mp4", '"a".mp4', ".a.mp4", "-a.mp4", "--.mp4", "CON.mp4", "nul", "a.", "a:b.mp4",
    "a\\b.mp4", "x" * 255, "笑" * 85, "a\tb.mp4", "%20.mp4", "a\udce9.mp4",
]  # fmt: skip


def test_every_odd_name_has_an_id_of_its_own() -> None:
    ids = {check_clip_id(as_clip_id(name)).lower() for name in ODD_NAMES}
    assert len(ids) == len(ODD_NAMES)


def test_a_lone_surrogate_that_stands_for_no_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="can't become a clip id: surrogates not allowed"):
        escape_clip_id("a\ud800")


@pytest.mark.parametrize("clip_id", ["a.-2-b", "a.-20", "a b", "a.-41-", "0.--a", "a---b"])
def test_what_no_text_escapes_to_is_refused(clip_id: str) -> None:
    with pytest.raises(ValueError, match="is not an escaped clip id"):
        unescape_clip_id(clip_id)

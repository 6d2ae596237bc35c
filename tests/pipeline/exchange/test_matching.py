"""Ids of a source belong to the clips that they name, or are refused: never to another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.exchange.matching import match_ids
from pipeline.exchange.settings import ImportSettings

LIKE = ImportSettings("csv", like="opensmile")
FILES = {
    "happy--a.mp4": Path("/corpus/happy/a.mp4"),
    "sad--a.mp4": Path("/corpus/sad/a.mp4"),
    "c3": Path("/corpus/sad/b.avi"),
}
CLIPS = list(FILES)


@pytest.mark.parametrize(
    "key",
    [
        "happy--a.mp4",
        "happy/a.mp4",
        "happy/a",
        "happy--a",
        "happy/a.wav",
        "/elsewhere/happy/a.wav",
        "/corpus/happy/a.mp4",
        r"D:\data\happy\a.WAV",
        "happy$_$a",
    ],
)
def test_a_path_that_ends_like_one_clip_is_that_clips(key: str) -> None:
    match = match_ids(CLIPS, [key], LIKE, FILES)
    assert match.ids == {"happy--a.mp4": key}
    assert match.missing == ("sad--a.mp4", "c3")
    assert not match.problems


def test_the_media_file_names_a_clip_with_an_id_of_its_own() -> None:
    match = match_ids(CLIPS, ["b.wav"], LIKE, FILES)
    assert (match.ids, match.by_path) == ({"c3": "b.wav"}, 1)
    assert match_ids(CLIPS, ["b.wav"], LIKE).ids == {}


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (["a.wav"], "id a.wav belongs to 2 clips: happy--a.mp4, sad--a.mp4"),
        (["x/b.wav", "y/b.wav", "sad/b.wav", "b.mp3"], "clip c3: 2 ids: sad/b.wav, b.mp3"),
    ],
)
def test_an_end_that_fits_several_is_refused(keys: list[str], problem: str) -> None:
    match = match_ids(CLIPS, keys, LIKE, FILES)
    assert match.problems == (problem,)
    assert match.ids == {}


def test_the_same_name_in_another_folder_is_another_clip() -> None:
    match = match_ids(CLIPS, ["angry/a.wav", "appy/a"], LIKE, FILES)
    assert match.ids == {}
    assert match.missing == tuple(CLIPS)


def test_an_id_that_is_the_clips_own_comes_first() -> None:
    match = match_ids(["a", "x--a"], ["a", "x/a"], LIKE)
    assert match.ids == {"a": "a", "x--a": "x/a"}
    assert match.by_path == 0


def test_ends_are_compared_in_layouts_only() -> None:
    assert match_ids(CLIPS, ["happy/a"], ImportSettings("csv"), FILES).ids == {}
    pattern = ImportSettings("csv", like="opensmile", id_pattern="^(.*)$")
    assert match_ids(CLIPS, ["happy/a"], pattern, FILES).ids == {}

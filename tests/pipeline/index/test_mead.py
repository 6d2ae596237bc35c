from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.files import IndexingError
from pipeline.index.mead import EMOTIONS, index_mead
from tests.pipeline.corpus_files import touch

FRONT = "M003/video/front/angry/level_1/001.mp4"
DOWN = "W017/video/down/neutral/level_1/040.mp4"
SOUND = "M003/audio/angry/level_1/001.m4a"


def test_the_front_view_is_indexed_and_the_rest_is_named(tmp_path: Path) -> None:
    odd = [f"M003/video/front/angry/level_1/{name}" for name in ("002.wav", "readme.mp4")]
    touch(tmp_path, FRONT, DOWN, SOUND, *odd, "list.txt")
    found = index_mead(tmp_path)
    assert found.clips == [
        Clip("M003-front-angry-level_1-001", tmp_path / FRONT, "angry", speaker="M003")
    ]
    assert found.left_out == {
        "not a media file (.txt)": ["list.txt"],
        "sound only; see --media": [SOUND],
        "not <speaker>/video/<view>/<emotion>/level_<n>/<number>": odd,
        "view down; see --view": [DOWN],
    }
    assert found.warnings == ["1 speaker with files, and none of view front: W017"]
    assert found.notes == [
        "1 sound file apart (audio/), and a clip is one file: for picture with sound put "
        "both into one, or index the sound with --media audio"
    ]


def test_all_views_and_the_sound_can_be_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, FRONT, DOWN, SOUND)
    views = index_mead(tmp_path, view="all")
    assert [clip.id for clip in views.clips] == [
        "M003-front-angry-level_1-001",
        "W017-down-neutral-level_1-040",
    ]
    assert views.warnings == [
        "the views show the same takes: keep a speaker's clips together (--folds speaker:K)"
    ]
    sound = index_mead(tmp_path, media="audio")
    assert sound.clips == [
        Clip("M003-audio-angry-level_1-001", tmp_path / SOUND, "angry", speaker="M003")
    ]
    assert sound.warnings == ["1 speaker with files, and none of sound: W017"]


@pytest.mark.parametrize(
    "name",
    [
        "M003/video/video/front/sad/level_3/030.mp4",  # video.tar unpacked into a folder video
        "M003/front/sad/level_3/030.mp4",
        "MEAD/part 1/M003/video/front/sad/level_3/030.mp4",
    ],
)
def test_archives_may_be_unpacked_in_several_ways(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    assert [clip.id for clip in index_mead(tmp_path).clips] == ["M003-front-sad-level_3-030"]


def test_a_speakers_folder_can_be_the_root(tmp_path: Path) -> None:
    touch(tmp_path, FRONT)
    assert [clip.speaker for clip in index_mead(tmp_path / "M003").clips] == ["M003"]


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_each_emotion_is_a_label(tmp_path: Path, emotion: str) -> None:
    touch(tmp_path, f"W009/video/front/{emotion}/level_2/002.mp4")
    assert [clip.label for clip in index_mead(tmp_path).clips] == [emotion]


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_mead(tmp_path / "none")

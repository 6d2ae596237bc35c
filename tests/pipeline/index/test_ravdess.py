from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.files import IndexingError
from pipeline.index.ravdess import index_ravdess
from tests.pipeline.corpus_files import touch

KIDS, DOGS = "Kids are talking by the door", "Dogs are sitting by the door"
LEAK = "shares sound or picture with a take that is in (a leak)"


def published(root: Path) -> Path:
    touch(
        root,
        "Actor_02/01-01-05-02-01-02-02.mp4",
        "Actor_02/02-01-05-02-01-02-02.mp4",
        "Audio_Speech_Actors_01-24/Actor_02/03-01-05-02-01-02-02.wav",
        "Actor_01/02-01-01-01-02-01-01.mp4",
        "Audio_Speech_Actors_01-24/Actor_01/03-01-01-01-02-01-01.wav",
        "Actor_01/01-02-06-01-02-01-01.mp4",
        "Actor_01/02-01-08-01-01-01-01.mp4",
    )
    return root


def test_one_modality_a_take_is_indexed_and_the_others_named(tmp_path: Path) -> None:
    root = published(tmp_path)
    found = index_ravdess(root)
    audio = root / "Audio_Speech_Actors_01-24"
    assert found.clips == [
        Clip("03-01-01-01-02-01-01", audio / "Actor_01/03-01-01-01-02-01-01.wav",
             "neutral", speaker="1", sentence=DOGS),
        Clip("02-01-08-01-01-01-01", root / "Actor_01/02-01-08-01-01-01-01.mp4",
             "surprised", speaker="1", sentence=KIDS),
        Clip("01-01-05-02-01-02-02", root / "Actor_02/01-01-05-02-01-02-02.mp4",
             "angry", speaker="2", sentence=KIDS),
    ]  # fmt: skip
    assert found.left_out == {
        "a song take; see --channel": ["Actor_01/01-02-06-01-02-01-01.mp4"],
        LEAK: [
            "Actor_01/02-01-01-01-02-01-01.mp4",
            "Audio_Speech_Actors_01-24/Actor_02/03-01-05-02-01-02-02.wav",
            "Actor_02/02-01-05-02-01-02-02.mp4",
        ],
    }
    assert found.warnings == [
        "takes of several modalities: audio-only, full-av, video-only; see --modality"
    ]


def test_a_modality_and_the_songs_can_be_asked_for(tmp_path: Path) -> None:
    root = published(tmp_path)
    found = index_ravdess(root, modality="video-only")
    assert [clip.id[:8] for clip in found.clips] == ["02-01-01", "02-01-08", "02-01-05"]
    assert found.left_out["full-av (01); see --modality"] == ["Actor_02/01-01-05-02-01-02-02.mp4"]
    assert found.warnings == []
    songs = index_ravdess(root, channel="song").clips
    assert [(clip.id, clip.label) for clip in songs] == [("01-02-06-01-02-01-01", "fearful")]
    assert len(index_ravdess(root, channel="both").clips) == 4


def test_each_number_is_an_emotion(tmp_path: Path) -> None:
    touch(tmp_path, *(f"03-01-0{number}-01-01-01-13.wav" for number in range(1, 9)))
    assert " ".join(str(clip.label) for clip in index_ravdess(tmp_path).clips) == (
        "neutral calm happy sad angry fearful disgust surprised"
    )


def test_a_second_copy_of_a_file_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "Actor_01/03-01-01-01-02-01-01.wav", "copy/Actor_01/03-01-01-01-02-01-01.wav")
    found = index_ravdess(tmp_path)
    assert [clip.path for clip in found.clips] == [tmp_path / "Actor_01/03-01-01-01-02-01-01.wav"]
    assert found.left_out == {
        "another file of a clip that is in": ["copy/Actor_01/03-01-01-01-02-01-01.wav"]
    }


@pytest.mark.parametrize(
    "name",
    ["talk.mp4", "03-01-01-01-02-01.wav", "04-01-01-01-02-01-01.wav", "03-03-01-01-02-01-01.wav",
     "03-01-09-01-02-01-01.wav", "03-01-01-01-02-01-25.wav", "03-01-01-01-02-01-00.wav",
     "03-01-01-01-02-01-01x.wav"],
)  # fmt: skip
def test_a_file_named_otherwise_is_left_out(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    found = index_ravdess(tmp_path)
    assert found.clips == []
    assert found.left_out == {"not named as a RAVDESS take": [name]}


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_ravdess(tmp_path / "none")


def test_the_real_speech_takes_are_indexed_with_24_speakers(data: Path) -> None:
    found = index_ravdess(data / "ravdess/speech")
    assert len(found.clips) == 1424
    assert {clip.speaker for clip in found.clips} == {str(actor) for actor in range(1, 25)}
    assert {clip.label for clip in found.clips} == {
        "neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"
    }  # fmt: skip
    assert found.left_out == {}
    assert "one and the same recording" in found.warnings[0]

from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.crema_d import DEFECTS, index_crema_d
from pipeline.index.files import IndexingError
from tests.pipeline.corpus_files import touch


def test_one_file_a_take_is_indexed_video_first(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "VideoFlash/1001_DFA_ANG_XX.flv",
        "AudioWAV/1001_DFA_ANG_XX.wav",
        "AudioMP3/1001_DFA_ANG_XX.mp3",
        "AudioWAV/1091_WSI_SAD_HI.wav",
        "AudioMP3/1091_WSI_SAD_HI.mp3",
        "AudioWAV/1040_ITH_SAD_X.wav",
        "AudioWAV/1001_DFA_JOY_XX.wav",
    )
    found = index_crema_d(tmp_path)
    assert found.clips == [
        Clip(
            "1001_DFA_ANG_XX", tmp_path / "VideoFlash/1001_DFA_ANG_XX.flv", "angry", speaker="1001"
        ),
        Clip("1040_ITH_SAD_X", tmp_path / "AudioWAV/1040_ITH_SAD_X.wav", "sad", speaker="1040"),
        Clip("1091_WSI_SAD_HI", tmp_path / "AudioWAV/1091_WSI_SAD_HI.wav", "sad", speaker="1091"),
    ]
    assert found.left_out == {
        "not named as a CREMA-D take": ["AudioWAV/1001_DFA_JOY_XX.wav"],
        "another file of a clip that is in": [
            "AudioMP3/1001_DFA_ANG_XX.mp3",
            "AudioWAV/1001_DFA_ANG_XX.wav",
            "AudioMP3/1091_WSI_SAD_HI.mp3",
        ],
    }
    assert found.warnings == ["2 takes have sound only: 1040_ITH_SAD_X, 1091_WSI_SAD_HI"]


@pytest.mark.parametrize(
    ("code", "label"),
    [("ANG", "angry"), ("DIS", "disgust"), ("FEA", "fear"), ("HAP", "happy"), ("NEU", "neutral"),
     ("SAD", "sad")],
)  # fmt: skip
def test_each_code_is_an_emotion(tmp_path: Path, code: str, label: str) -> None:
    touch(tmp_path, f"1002_IEO_{code}_LO.flv")
    assert index_crema_d(tmp_path).clips[0].label == label


def test_sound_or_video_can_be_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "v/1001_DFA_ANG_XX.flv", "a/1001_DFA_ANG_XX.wav", "a/1002_DFA_ANG_XX.wav")
    audio, video = (index_crema_d(tmp_path, media=kind) for kind in ("audio", "video"))
    assert [clip.path.name for clip in audio.clips] == [
        "1001_DFA_ANG_XX.wav",
        "1002_DFA_ANG_XX.wav",
    ]
    assert audio.left_out == {"video; see --media": ["v/1001_DFA_ANG_XX.flv"]}
    assert [clip.path.name for clip in video.clips] == ["1001_DFA_ANG_XX.flv"]
    assert len(video.left_out["sound only; see --media"]) == 2


@pytest.mark.parametrize("take", DEFECTS)
def test_a_known_defect_is_left_out_unless_kept(tmp_path: Path, take: str) -> None:
    touch(tmp_path, f"{take}.flv", "1001_DFA_ANG_XX.flv")
    found = index_crema_d(tmp_path)
    assert [clip.id for clip in found.clips] == ["1001_DFA_ANG_XX"]
    reason = f"a known defect ({DEFECTS[take]}); --keep-defects keeps it"
    assert found.left_out == {reason: [f"{take}.flv"]}
    kept = index_crema_d(tmp_path, keep_defects=True)
    assert [clip.id for clip in kept.clips] == ["1001_DFA_ANG_XX", take]
    assert kept.warnings == [f"known defects kept: {take}"]


def test_the_two_defects_that_users_meet_are_among_the_known() -> None:
    assert {"1076_MTI_SAD_XX", "1064_IEO_DIS_MD"} <= DEFECTS.keys()


def test_takes_with_one_sound_and_two_labels_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "1006_TIE_HAP_XX.wav", "1006_TIE_NEU_XX.wav", "1013_WSI_DIS_XX.wav")
    assert index_crema_d(tmp_path).warnings == [
        "takes with different labels and the same sound: 1006_TIE_HAP_XX and 1006_TIE_NEU_XX"
    ]


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_crema_d(tmp_path / "none")

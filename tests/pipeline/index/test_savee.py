from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.files import IndexingError
from pipeline.index.savee import EMOTIONS, index_savee
from tests.pipeline.corpus_files import touch


def test_one_file_a_take_is_indexed_video_first(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "AudioVisualClip/DC/a01.avi",
        "AudioData/DC/a01.wav",
        "AudioData/KL/sa15.wav",
        "AudioData/KL/x01.wav",
        "AudioData/Info.txt",
        "AudioVisualClip/XX/a01.avi",
    )
    found = index_savee(tmp_path)
    assert found.clips == [
        Clip("DC_a01", tmp_path / "AudioVisualClip/DC/a01.avi", "anger", speaker="DC"),
        Clip("KL_sa15", tmp_path / "AudioData/KL/sa15.wav", "sadness", speaker="KL"),
    ]
    assert found.left_out == {
        "not a media file (.txt)": ["AudioData/Info.txt"],
        "not named as a SAVEE take, <speaker>/<code><number>": [
            "AudioData/KL/x01.wav",
            "AudioVisualClip/XX/a01.avi",
        ],
        "another file of a clip that is in": ["AudioData/DC/a01.wav"],
    }


def test_sound_alone_can_be_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "AudioVisualClip/DC/a01.avi", "AudioData/DC/a01.wav")
    found = index_savee(tmp_path, media="audio")
    assert [clip.path.name for clip in found.clips] == ["a01.wav"]
    assert found.left_out == {"video; see --media": ["AudioVisualClip/DC/a01.avi"]}


@pytest.mark.parametrize(("code", "label"), EMOTIONS.items())
def test_each_code_is_an_emotion_in_flat_folders_too(tmp_path: Path, code: str, label: str) -> None:
    touch(tmp_path, f"ALL/JK_{code}07.wav")
    assert index_savee(tmp_path).clips == [
        Clip(f"JK_{code}07", tmp_path / f"ALL/JK_{code}07.wav", label, speaker="JK")
    ]


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_savee(tmp_path / "none")

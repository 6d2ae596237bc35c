from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.emo_db import index_emo_db
from pipeline.index.files import IndexingError
from tests.pipeline.corpus_files import touch


def test_utterances_are_indexed_by_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "wav/03a01Fa.wav", "wav/16b10Wb.wav", "wav/03a01F.wav", "wav/04a01Fa.wav",
          "lablaut/03a01Fa.lablaut", "flac/03a01Fa.flac")  # fmt: skip
    found = index_emo_db(tmp_path)
    assert found.clips == [
        Clip("03a01Fa", tmp_path / "wav/03a01Fa.wav", "happiness", speaker="03", sentence="a01"),
        Clip("16b10Wb", tmp_path / "wav/16b10Wb.wav", "anger", speaker="16", sentence="b10"),
    ]
    assert found.left_out == {
        "not a media file (.lablaut)": ["lablaut/03a01Fa.lablaut"],
        "not named as an EMO-DB utterance": ["wav/03a01F.wav", "wav/04a01Fa.wav"],
        "another file of a clip that is in": ["flac/03a01Fa.flac"],
    }
    assert found.notes == ["EMO-DB is sound without picture: train with fusion.kind=audio"]


@pytest.mark.parametrize(
    ("letter", "label"),
    [("W", "anger"), ("L", "boredom"), ("E", "disgust"), ("A", "fear"), ("F", "happiness"),
     ("T", "sadness"), ("N", "neutral")],
)  # fmt: skip
def test_each_letter_is_an_emotion(tmp_path: Path, letter: str, label: str) -> None:
    touch(tmp_path, f"wav/08a02{letter}c.wav")
    assert index_emo_db(tmp_path).clips[0].label == label


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_emo_db(tmp_path / "none")

from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.enterface import EMOTIONS, index_enterface
from pipeline.index.files import IndexingError
from tests.pipeline.corpus_files import touch

ROOT = "enterface database"


def test_labels_are_the_emotions_and_speakers_the_subjects(tmp_path: Path) -> None:
    touch(
        tmp_path,
        f"{ROOT}/subject 10/anger/sentence 1/s10_an_1.avi",
        f"{ROOT}/subject 2/Sadness/sentence 5/s2_sa_5.avi",
        f"{ROOT}/subject 2/Sadness/sentence 5/Thumbs.db",
        f"{ROOT}/Presentation.avi",
        f"{ROOT}/subject 2/Sadness/sentence 5/s2_sa_5.wav",
    )
    found = index_enterface(tmp_path)
    folder = tmp_path / ROOT
    assert found.clips == [
        Clip("s2_sa_5", folder / "subject 2/Sadness/sentence 5/s2_sa_5.avi", "sadness",
             speaker="subject 2"),
        Clip("s10_an_1", folder / "subject 10/anger/sentence 1/s10_an_1.avi", "anger",
             speaker="subject 10"),
    ]  # fmt: skip
    assert found.left_out == {
        "in no folder subject <N>/<emotion>": [f"{ROOT}/Presentation.avi"],
        "not a media file (.db)": [f"{ROOT}/subject 2/Sadness/sentence 5/Thumbs.db"],
        "sound only; eNTERFACE's clips are video": [
            f"{ROOT}/subject 2/Sadness/sentence 5/s2_sa_5.wav"
        ],
    }
    assert found.warnings == []


def test_subject_6_has_no_folders_of_sentences(tmp_path: Path) -> None:
    touch(tmp_path, *(f"subject 6/fear/s6_fe_{n}.avi" for n in range(1, 6)))
    found = index_enterface(tmp_path)
    assert [clip.id for clip in found.clips] == [f"s6_fe_{n}" for n in range(1, 6)]
    assert {clip.label for clip in found.clips} == {"fear"}


def test_hyphens_stand_for_blanks_and_a_subjects_folder_can_be_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "subject-3/disgust/sentence-2/s3_di_2.avi")
    assert [clip.id for clip in index_enterface(tmp_path).clips] == ["s3_di_2"]
    assert [clip.id for clip in index_enterface(tmp_path / "subject-3").clips] == ["s3_di_2"]


def test_misspelt_names_are_taken_by_their_folders_and_named(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "subject 3/anger/sentence 1/s_3_an_1.avi",  # only spelt otherwise
        "subject 3/fear/sentence 1/s3_an_1.avi",
        "subject 4/fear/sentence 2/s14_fe_2.avi",
        "subject 4/fear/sentence 3/new take.avi",
    )
    found = index_enterface(tmp_path)
    assert [(clip.id, clip.label) for clip in found.clips] == [
        ("s3_an_1", "anger"),
        ("s3_fe_1", "fear"),
        ("s4_fe_2", "fear"),
        ("s4_fe_3", "fear"),
    ]
    assert found.warnings == [
        "3 files not named for the subject and emotion of the folders, which are taken: "
        "subject 3/fear/sentence 1/s3_an_1.avi, subject 4/fear/sentence 2/s14_fe_2.avi, "
        "subject 4/fear/sentence 3/new take.avi"
    ]


def test_several_videos_of_one_sentence_are_all_taken(tmp_path: Path) -> None:
    touch(tmp_path, *(f"subject 5/anger/sentence 1/s5_an_{n}.avi" for n in (1, 7)))
    found = index_enterface(tmp_path)
    assert [clip.id for clip in found.clips] == ["s5_an_1_s5_an_1", "s5_an_1_s5_an_7"]
    assert found.warnings == [
        "1 sentence with several videos, all taken: subject 5/anger/sentence 1"
    ]


def test_a_take_in_two_formats_is_one_clip(tmp_path: Path) -> None:
    touch(tmp_path, *(f"subject 1/fear/sentence 2/s1_fe_2.{suffix}" for suffix in ("avi", "mp4")))
    found = index_enterface(tmp_path)
    assert [(clip.id, clip.path.suffix) for clip in found.clips] == [("s1_fe_2", ".mp4")]
    assert found.left_out == {
        "another file of a clip that is in": ["subject 1/fear/sentence 2/s1_fe_2.avi"]
    }
    assert found.warnings == []


@pytest.mark.parametrize(("emotion", "code"), EMOTIONS.items())
def test_each_folder_has_its_code(tmp_path: Path, emotion: str, code: str) -> None:
    touch(tmp_path, f"subject 1/{emotion}/sentence 1/s1_{code}_1.avi")
    found = index_enterface(tmp_path)
    assert (found.clips[0].id, found.clips[0].label) == (f"s1_{code}_1", emotion)
    assert found.warnings == []


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_enterface(tmp_path / "none")

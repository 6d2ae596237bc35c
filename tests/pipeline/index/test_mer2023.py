from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.files import IndexingError
from pipeline.index.mer2023 import index_mer2023
from tests.pipeline.corpus_files import touch, write_texts


def published(root: Path) -> Path:
    """Write the archives as they unpack: training and test3, the tests, the labels of the tests."""
    touch(
        root,
        "mer2023train/train/sample_1.avi",
        "mer2023train/train/sample_2.mp4",
        "mer2023train/test3/sample_5.mp4",
        "mer2023train/test3/sample_6.mp4",
        "mer2023test/test1/sample_3.avi",
        "mer2023test/test2/sample_4.avi",
    )
    tables = {
        "mer2023train/train-label.csv": "name,discrete,valence\nsample_1,worried,-1\n"
        "sample_2,happy,2.5\n",
        "test-labels/test1-label.csv": "name,discrete,valence\nsample_3,sad,-2\n",
        "test-labels/test2-label.csv": "name,discrete,valence\nsample_4,angry,-3\n",
        "test-labels/test3-label.csv": "name,discrete\nsample_5,neutral\n",
    }
    write_texts(root, tables)
    return root


def test_the_labelled_clips_of_all_subsets_are_indexed(tmp_path: Path) -> None:
    root = published(tmp_path)
    found = index_mer2023(root)
    assert found.clips == [
        Clip("sample_1", root / "mer2023train/train/sample_1.avi", "worried", "train"),
        Clip("sample_2", root / "mer2023train/train/sample_2.mp4", "happy", "train"),
        Clip("sample_3", root / "mer2023test/test1/sample_3.avi", "sad", "test"),
        Clip("sample_4", root / "mer2023test/test2/sample_4.avi", "angry", "test"),
        Clip("sample_5", root / "mer2023train/test3/sample_5.mp4", "neutral", "test"),
    ]
    assert found.left_out == {"in no label table (unlabelled)": ["mer2023train/test3/sample_6.mp4"]}
    assert found.warnings == []


def test_subsets_can_be_asked_for(tmp_path: Path) -> None:
    found = index_mer2023(published(tmp_path), subsets=("train", "test1"))
    assert [clip.id for clip in found.clips] == ["sample_1", "sample_2", "sample_3"]
    assert found.left_out["in test2, which was not asked for"] == ["sample_4"]


def test_missing_tables_and_files_are_warned_of_and_copies_named(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / "test-labels/test3-label.csv").unlink()
    (root / "mer2023test/test1/sample_3.avi").unlink()
    touch(root, "mer2023train/a_copy/sample_1.avi")
    found = index_mer2023(root)
    assert [clip.id for clip in found.clips] == ["sample_1", "sample_2", "sample_4"]
    assert found.clips[0].path.parent.name == "train"
    assert found.left_out["listed in test1-label.csv, but no such file"] == ["sample_3"]
    assert found.left_out["another file of a clip that is in"] == [
        "mer2023train/a_copy/sample_1.avi"
    ]
    assert found.warnings == [
        "1 clip of test1-label.csv without a file",
        "no test3-label.csv; test3 is not in",
    ]


def test_the_pickle_of_the_baseline_is_never_opened(tmp_path: Path) -> None:
    touch(tmp_path, "video/sample_1.avi")
    (tmp_path / "label-6way.npz").write_bytes(b"not even a zip")
    with pytest.raises(IndexingError, match=r"label-6way\.npz is a pickle.*`avfuse index csv`"):
        index_mer2023(tmp_path)


def test_a_release_without_tables_is_refused_with_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "train/sample_1.avi")
    with pytest.raises(
        IndexingError, match=r"(?s)looked for: train-label\.csv.*train/sample_1\.avi"
    ):
        index_mer2023(tmp_path)


def test_a_clip_in_two_tables_is_refused(tmp_path: Path) -> None:
    root = published(tmp_path)
    with (root / "test-labels/test1-label.csv").open("a") as file:
        file.write("sample_1,sad,0\n")
    with pytest.raises(
        IndexingError, match=r"line 3: 'sample_1' is already in train-label\.csv, line 2"
    ):
        index_mer2023(root)


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / "mer2023train/train-label.csv").write_text("names,discrete\nsample_1,sad\n")
    with pytest.raises(
        IndexingError, match=r"no column 'name' \(did you mean 'names'\?\); columns"
    ):
        index_mer2023(root)


def test_a_table_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / "mer2023train/train-label.csv").write_bytes(b"name,discrete\nsample_1,\xc9\xfa\n")
    with pytest.raises(IndexingError, match=r"line 2: not UTF-8 \(byte 0xc9\); save it as UTF-8"):
        index_mer2023(root)

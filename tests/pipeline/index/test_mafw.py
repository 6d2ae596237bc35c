from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.files import IndexingError
from pipeline.index.mafw import index_mafw
from tests.pipeline.corpus_files import touch

SINGLE = "Train & Test Set/single/no_caption"
COMPOUND = "Train & Test Set/compound/no_caption"
LABELS = {"00001": "anger", "00002": "happiness", "00003": "disappointment"}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def published(root: Path, *, num_sets: int = 5) -> Path:
    """Five sets, each clip in one test; sets 4 and 5 test none."""
    touch(root, *(f"data/clips/{name}.mp4" for name in (*LABELS, "20045", "00009")))
    for number in range(1, num_sets + 1):
        lines = {name: f"{name}.mp4 {label}\n" for name, label in LABELS.items()}
        test = lines.pop(f"{number:05d}", "")
        write(root / f"{SINGLE}/set_{number}/train.txt", "".join(lines.values()))
        write(root / f"{SINGLE}/set_{number}/test.txt", test)
    write(root / f"{COMPOUND}/set_1/train.txt", "20045.mp4 anger_disgust_anxiety\n")
    return root


def test_the_five_sets_are_the_folds(tmp_path: Path) -> None:
    found = index_mafw(published(tmp_path))
    clips = tmp_path / "data/clips"
    assert found.clips == [
        Clip("00001", clips / "00001.mp4", "anger", fold=0),
        Clip("00002", clips / "00002.mp4", "happiness", fold=1),
        Clip("00003", clips / "00003.mp4", "disappointment", fold=2),
    ]
    assert found.left_out == {
        "in no table of single emotions": ["data/clips/00009.mp4", "data/clips/20045.mp4"]
    }
    assert found.warnings == []


def test_one_set_can_be_the_split(tmp_path: Path) -> None:
    found = index_mafw(published(tmp_path), test_set=2)
    assert [clip.split for clip in found.clips] == ["train", "test", "train"]


def test_compound_emotions_can_be_asked_for(tmp_path: Path) -> None:
    found = index_mafw(published(tmp_path), annotation="compound")
    assert [(clip.id, clip.label, clip.fold) for clip in found.clips] == [
        ("20045", "anger_disgust_anxiety", None)
    ]
    assert found.warnings == [
        "no test table set_1, set_2, set_3, set_4, set_5; their clips have no fold"
    ]


def test_captions_behind_the_label_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "clips/03747.mp4")
    text = '03747.mp4\tanger\t<br>一个男人对着面前的激动地说话。 <br> A man, "quoted\n'
    write(tmp_path / "single/with_caption/set_1/test.txt", text)
    assert [clip.label for clip in index_mafw(tmp_path).clips] == ["anger"]


def test_missing_clips_and_tables_are_named(tmp_path: Path) -> None:
    root = published(tmp_path, num_sets=2)
    (root / "data/clips/00003.mp4").unlink()
    found = index_mafw(root)
    assert found.left_out["in a table of the sets, but no such clip"] == ["00003"]
    assert found.warnings == [
        "1 of 3 clips in the tables without a file",
        "no test table set_3, set_4, set_5; their clips have no fold",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("00001.mp4 disgust", "line 2: clip 00001 is disgust here and anger in another table"),
        ("00001.mp4", "line 2: expected a clip and its emotion"),
        ("00004.mp4 joy", "line 2: expected a clip and its emotion"),
        ("x" * 100_001, "line 2: has more than 100000 characters"),
        ("00002.mp4 happiness", "set_1 has clip 00002 and 0 more in training and in test"),
    ],
)
def test_a_table_not_as_published_is_refused(tmp_path: Path, line: str, message: str) -> None:
    root = published(tmp_path)
    with (root / f"{SINGLE}/set_1/test.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(IndexingError, match=message):
        index_mafw(root)


def test_a_clip_tested_twice_is_refused(tmp_path: Path) -> None:
    root = published(tmp_path)
    write(root / f"{SINGLE}/set_4/train.txt", "")
    write(root / f"{SINGLE}/set_4/test.txt", "00001.mp4 anger\n")
    with pytest.raises(IndexingError, match="clip 00001 is tested in set_1 and in set_4"):
        index_mafw(root)


def test_a_set_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="lacks set_3 for training or for test"):
        index_mafw(published(tmp_path, num_sets=2), test_set=3)


def test_a_release_without_tables_is_refused_with_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "clips/00001.mp4")
    with pytest.raises(IndexingError, match=r"(?s)looked for: single/no_caption.*00001\.mp4"):
        index_mafw(tmp_path)

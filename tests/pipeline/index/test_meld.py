from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.files import IndexingError
from pipeline.index.meld import index_meld
from tests.pipeline.corpus_files import touch

HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    "StartTime,EndTime\n"
)
TIMES = '4,7,"00:20:57,256","00:21:00,049"'


def published(root: Path, *, train: str = "", dev: str = "", test: str = "") -> Path:
    rows = {
        "train": f'1,"Oh, no",Phoebe,sadness,negative,0,0,{TIMES}\n{train}',
        "dev": f"1,Hey.,Phoebe,joy,positive,0,0,{TIMES}\n{dev}",
        "test": f"1,“Hm”,Mrs.  Green,neutral,neutral,0,0,{TIMES}\n{test}",
    }
    for subset, text in rows.items():
        (root / f"{subset}_sent_emo.csv").write_text(HEADER + text, encoding="utf-8")
    touch(
        root,
        "train/train_splits/dia0_utt0.mp4",
        "dev/dev_splits_complete/dia0_utt0.mp4",
        "test/output_repeated_splits_test/dia0_utt0.mp4",
    )
    return root


def test_the_three_tables_are_the_splits(tmp_path: Path) -> None:
    root = published(tmp_path)
    found = index_meld(root)
    test = root / "test/output_repeated_splits_test"
    assert found.clips == [
        Clip("train_dia0_utt0", root / "train/train_splits/dia0_utt0.mp4",
             "sadness", "train", "Phoebe"),
        Clip("dev_dia0_utt0", root / "dev/dev_splits_complete/dia0_utt0.mp4",
             "joy", "val", "Phoebe"),
        Clip("test_dia0_utt0", test / "dia0_utt0.mp4", "neutral", "test", "Mrs. Green"),
    ]  # fmt: skip
    assert (found.left_out, found.warnings, found.notes) == ({}, [], [])


def test_a_corrected_file_of_the_test_split_is_taken(tmp_path: Path) -> None:
    root = published(tmp_path)
    folder = "test/output_repeated_splits_test"
    touch(root, f"{folder}/final_videos_testdia0_utt0.mp4", f"{folder}/._dia0_utt0.mp4")
    found = index_meld(root)
    assert found.clips[2].path == root / folder / "final_videos_testdia0_utt0.mp4"
    assert found.left_out == {"another file of a clip that is in": [f"{folder}/dia0_utt0.mp4"]}
    assert found.notes == [
        "1 clip of test taken from the corrected files final_videos_test*: test_dia0_utt0"
    ]


def test_known_defects_are_left_out_and_named(tmp_path: Path) -> None:
    root = published(
        tmp_path,
        train=f"2,x,Joey,neutral,neutral,125,3,{TIMES}\n",
        dev=f"2,x,Joey,neutral,neutral,110,7,{TIMES}\n",
        test=f"2,x,Joey,neutral,neutral,38,4,{TIMES}\n",
    )
    touch(root, "train/train_splits/dia125_utt3.mp4")
    touch(root, "test/output_repeated_splits_test/dia38_utt4.mp4")
    found = index_meld(root)
    assert len(found.clips) == 4
    assert found.left_out == {
        "a known defect (5 minutes long, wrongly cut or unreadable)": [
            "train/train_splits/dia125_utt3.mp4"
        ],
        "a known defect (missing from the release)": ["dev_dia110_utt7"],
    }
    assert found.warnings == ["reported as wrongly cut, and kept: test_dia38_utt4"]
    kept = index_meld(root, keep_defects=True)
    assert len(kept.clips) == 5
    assert kept.warnings == [
        "reported as wrongly cut, and kept: test_dia38_utt4, train_dia125_utt3"
    ]


def test_missing_and_unlisted_files_are_named(tmp_path: Path) -> None:
    root = published(tmp_path, train=f"2,x,Joey,neutral,neutral,0,1,{TIMES}\n")
    touch(root, "dev/dev_splits_complete/dia66_utt9.mp4", "train/dia0_utt1.mp4", "intro.mp4")
    found = index_meld(root)
    assert found.left_out == {
        "not dia<number>_utt<number> in a folder of a split": ["intro.mp4", "train/dia0_utt1.mp4"],
        "listed in train_sent_emo.csv, but no such file": ["train_dia0_utt1"],
        "in no table": ["dev/dev_splits_complete/dia66_utt9.mp4"],
    }
    assert found.warnings == ["1 clip of train_sent_emo.csv without a file"]


def test_a_missing_table_is_warned_of(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / "dev_sent_emo.csv").unlink()
    found = index_meld(root)
    assert [clip.split for clip in found.clips] == ["train", "test"]
    assert found.warnings == ["no dev_sent_emo.csv; dev is not in"]


def test_a_release_without_tables_is_refused_with_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "train_splits/dia0_utt0.mp4")
    with pytest.raises(
        IndexingError, match=r"(?s)looked for: train_sent_emo\.csv.*train_splits/dia0_utt0\.mp4"
    ):
        index_meld(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            f"2,x,Joey,joy,positive,one,0,{TIMES}",
            "line 3: expected numbers of .* got 'one' and '0'",
        ),
        (f"2,x,Joey,joy,positive,0,0,{TIMES}", "line 3: train_dia0_utt0 is in the table twice"),
        ("2,x,Joey,joy", "line 3: has 4 fields where the header has 11"),
        ('2,"x', "line 3: unexpected end of data"),
    ],
)
def test_a_row_not_as_published_is_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(IndexingError, match=message):
        index_meld(published(tmp_path, train=f"{row}\n"))

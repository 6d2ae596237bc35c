from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from pipeline.index.files import IndexingError
from pipeline.index.finish import finish_index
from pipeline.index.iemocap import EMOTIONS, index_iemocap
from tests.pipeline.corpus_files import touch

# Written as published: what single raters said stands under each line.
EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M001\texc\t[2.5000, 2.5000, 2.5000]
C-E2:\tExcited;\t()

[14.8872 - 18.0175]\tSes01F_impro01_F001\txxx\t[2.5000, 2.5000, 2.5000]
"""
SESSION_5 = "[0.5 - 2]\tSes05M_script01_1b_M003\tang\t[1.0, 4.0, 4.0]\n"
VIDEO = "Session1/dialog/avi/DivX/Ses01F_impro01.avi"
CUT_WARNING = (
    "{} clips cut from videos that show both actors side by side: the largest face needn't be "
    "the speaker's; look at `avfuse inspect faces`, choose by --overrides"
)


def write_evaluation(root: Path, dialog: str, text: str) -> None:
    path = root / f"Session{dialog[4]}/dialog/EmoEvaluation/{dialog}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (path.parent / "Categorical").mkdir(exist_ok=True)
    (path.parent / f"Categorical/{dialog}_e1_cat.txt").write_text("[not a label]")


def published(root: Path) -> Path:
    write_evaluation(root, "Ses01F_impro01", EVALUATION)
    write_evaluation(root, "Ses05M_script01_1b", SESSION_5)
    touch(
        root,
        VIDEO,
        "Session1/dialog/wav/Ses01F_impro01.wav",
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M001.wav",
        "Session5/sentences/wav/Ses05M_script01_1b/Ses05M_script01_1b_M003.wav",
    )
    return root


def test_utterances_are_cuts_of_the_dialogues_videos(tmp_path: Path) -> None:
    root = published(tmp_path)
    found = index_iemocap(root)
    sound = root / "Session5/sentences/wav/Ses05M_script01_1b/Ses05M_script01_1b_M003.wav"
    assert found.clips == [
        Clip("Ses01F_impro01_F000", root / VIDEO, "neutral", None, "Ses01F", 0, 6.2901, 8.2357),
        Clip("Ses01F_impro01_M001", root / VIDEO, "excited", None, "Ses01M", 0, 10.01, 11.3925),
        Clip("Ses05M_script01_1b_M003", sound, "angry", None, "Ses05M", 4),
    ]
    assert found.left_out == {"no label that most raters gave (xxx)": ["Ses01F_impro01_F001"]}
    assert found.warnings == [
        CUT_WARNING.format(2),
        "1 clip with sound only: no video of the dialogue",
    ]


def test_the_sound_of_the_sentences_can_be_asked_for(tmp_path: Path) -> None:
    found = index_iemocap(published(tmp_path), media="audio")
    assert [(clip.path.name, clip.start_seconds) for clip in found.clips] == [
        ("Ses01F_impro01_F000.wav", None),
        ("Ses01F_impro01_M001.wav", None),
        ("Ses05M_script01_1b_M003.wav", None),
    ]
    assert found.warnings == []


def test_utterances_without_a_file_and_videos_without_an_evaluation_are_named(
    tmp_path: Path,
) -> None:
    root = published(tmp_path)
    touch(root, "Session2/dialog/avi/DivX/Ses02F_impro01.avi")
    found = index_iemocap(root, media="video")
    assert found.left_out == {
        "no label that most raters gave (xxx)": ["Ses01F_impro01_F001"],
        "in an evaluation, but no video of it": ["Ses05M_script01_1b_M003"],
        "a video of no evaluated dialogue": ["Session2/dialog/avi/DivX/Ses02F_impro01.avi"],
    }


@pytest.mark.parametrize(("code", "label"), EMOTIONS.items())
def test_each_code_is_an_emotion(tmp_path: Path, code: str, label: str) -> None:
    write_evaluation(tmp_path, "Ses01F_impro01", EVALUATION.replace("neu", code))
    touch(tmp_path, VIDEO)
    assert index_iemocap(tmp_path).clips[0].label == label


def test_excited_can_be_taken_for_happy(tmp_path: Path) -> None:
    found = index_iemocap(published(tmp_path))
    finish_index(found, tmp_path / "m.csv", labels={"excited": "happy"})
    labels = [clip.label for clip in read_manifest(tmp_path / "m.csv").clips]
    assert labels == ["neutral", "happy", "angry"]


def test_an_utterance_that_ends_before_it_starts_is_left_out(tmp_path: Path) -> None:
    write_evaluation(tmp_path, "Ses01F_impro01", EVALUATION.replace("8.2357", "6.2901"))
    touch(tmp_path, VIDEO)
    found = index_iemocap(tmp_path)
    assert found.left_out["ends before it starts"] == ["Ses01F_impro01_F000"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1 - 2]\tSes01F_impro01_F009\tjoy\t[1, 1, 1]", "line 11: label 'joy' is none of ang"),
        ("[1 - 2]\tSes01F_impro01_F000\tang\t[1, 1, 1]", "line 11: Ses01F_impro01_F000 is .*twice"),
        ("[one - 2]\tSes01F_impro01_F009\tang", r"line 11: expected \[start - end\]"),
        ("[1 - 2]\tSes01F_impro01_F009", r"line 11: expected \[start - end\]"),
    ],
)
def test_a_line_not_as_published_is_refused(tmp_path: Path, line: str, message: str) -> None:
    write_evaluation(tmp_path, "Ses01F_impro01", f"{EVALUATION}{line}\n")
    with pytest.raises(IndexingError, match=message):
        index_iemocap(tmp_path)


def test_a_release_without_evaluations_is_refused_with_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, VIDEO)
    with pytest.raises(IndexingError, match=r"(?s)EmoEvaluation.*Ses01F_impro01\.avi"):
        index_iemocap(tmp_path)
    with pytest.raises(IndexingError, match="is not a folder"):
        index_iemocap(tmp_path / "none")

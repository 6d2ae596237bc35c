from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cache.manifest.manifest import read_manifest
from pipeline.cli import main
from pipeline.commands.index import index
from pipeline.index.folder import index_folder
from tests.pipeline.corpus_files import touch, write_texts


def avfuse(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["index", *map(str, arguments)])


def corpus(root: Path) -> Path:
    touch(root, "sad/1.mp4", "happy/1.mp4", "notes.txt")
    for path in root.glob("*/1.mp4"):
        path.write_bytes(b"media")
    return root


def test_the_command_writes_what_the_call_finds_and_prints_a_summary(tmp_path: Path) -> None:
    root = corpus(tmp_path / "corpus")
    result = avfuse("folder", root, "-o", tmp_path / "new/m.csv")
    assert result.exit_code == 0
    assert result.stdout == (
        f"{tmp_path}/new/m.csv: 2 clips\n"
        "  labels: happy 1, sad 1\n"
        "left out: 1\n"
        "  1 not a media file (.txt): notes.txt\n"
    )
    assert result.stderr == ""
    clips = read_manifest(tmp_path / "new/m.csv").clips
    assert list(clips) == index_folder(root).clips


def test_a_manifest_beside_its_corpus_has_relative_paths_and_is_no_clip(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    assert avfuse("folder", root, "-o", root / "m.csv").exit_code == 0
    assert (root / "m.csv").read_text().splitlines()[1] == "happy--1.mp4,happy/1.mp4,happy,,"
    again = avfuse("folder", root, "-o", root / "m.csv", "--overwrite")
    assert "not a media file (.csv): m.csv" in again.stdout


def test_the_same_corpus_is_written_the_same_again(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    texts = []
    for name in ("a", "b"):
        avfuse("folder", root, "-o", tmp_path / f"{name}/m.csv")
        texts.append((tmp_path / f"{name}/m.csv").read_text())
    assert texts[0] == texts[1]


def test_an_existing_manifest_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    (tmp_path / "m.csv").write_text("old")
    result = avfuse("folder", root, "-o", tmp_path / "m.csv")
    assert result.exit_code == 2
    assert "m.csv exists; pass --overwrite to replace it" in result.stderr
    assert (tmp_path / "m.csv").read_text() == "old"
    assert avfuse("folder", root, "-o", tmp_path / "m.csv", "--overwrite").exit_code == 0


def test_labels_are_mapped_and_json_is_printed(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    result = avfuse("folder", root, "-o", tmp_path / "m.csv", "--map", "sad=low", "--json")
    summary = json.loads(result.stdout)
    assert summary["labels"] == {"happy": 1, "low": 1}
    assert summary["left_out"] == {"not a media file (.txt)": ["notes.txt"]}


def test_a_label_that_a_spreadsheet_would_run_is_refused_until_mapped(tmp_path: Path) -> None:
    touch(tmp_path, "=cmd/1.mp4", "sad/1.mp4")
    result = avfuse("folder", tmp_path, "-o", tmp_path / "m.csv")
    assert result.exit_code == 2
    assert (
        "label '=cmd' has '=' where a formula begins, and a spreadsheet would run" in result.stderr
    )
    result = avfuse("folder", tmp_path, "-o", tmp_path / "m.csv", "--map", "=cmd=happy")
    assert result.exit_code == 0
    assert "./=cmd/1.mp4,happy" in (tmp_path / "m.csv").read_text()


def test_links_out_of_the_corpus_are_taken_in_when_asked_for(tmp_path: Path) -> None:
    root = corpus(tmp_path / "corpus")
    touch(tmp_path, "out/2.mp4")
    (root / "sad" / "2.mp4").symlink_to(tmp_path / "out" / "2.mp4")
    os.mkfifo(root / "sad" / "3.mp4")
    result = avfuse("folder", root, "-o", tmp_path / "m.csv")
    assert "  1 behind a symbolic link out of the corpus; --follow-links allows it: sad/2.mp4" in (
        result.stdout.splitlines()
    )
    assert "  1 not a regular file (a pipe, socket or device): sad/3.mp4" in result.stdout
    assert len(read_manifest(tmp_path / "m.csv").clips) == 2
    options = ["--follow-links", "--overwrite"]
    assert avfuse("folder", root, "-o", tmp_path / "m.csv", *options).exit_code == 0
    assert len(read_manifest(tmp_path / "m.csv").clips) == 3


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (["sad"], "expected OLD=NEW, got 'sad'"),
        (["sad="], "expected OLD=NEW, got 'sad='"),
        (["sad=a", "sad=b"], "'sad' is mapped twice"),
    ],
)
def test_a_map_that_says_nothing_is_wrong_use(
    tmp_path: Path, maps: list[str], message: str
) -> None:
    options = [option for text in maps for option in ("--map", text)]
    result = avfuse("folder", corpus(tmp_path), "-o", tmp_path / "m.csv", *options)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("recipe", [name for name in index.commands if name != "csv"])
def test_every_recipe_refuses_a_folder_without_its_corpus(tmp_path: Path, recipe: str) -> None:
    touch(tmp_path, "readme.txt")
    result = avfuse(recipe, tmp_path, "-o", tmp_path / "out/m.csv")
    assert result.exit_code == 2
    assert f"no clip found in {tmp_path}\n  looked for: " in result.stderr
    assert not (tmp_path / "out").exists()
    result = avfuse(recipe, tmp_path / "none", "-o", tmp_path / "out/m.csv")
    assert result.exit_code == 2
    assert "is not a folder" in result.stderr


def test_a_manifest_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    result = avfuse("folder", root, "-o", root / "notes.txt/m.csv")
    assert result.exit_code == 2
    assert f"{root}/notes.txt is not a folder" in result.stderr


def test_warnings_go_to_stderr_and_missing_files_do_not_fail(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    (root / "t.csv").write_text("file;emo\nsad/1.mp4;sad\nhappy/1.mp4;happy\ngone.mp4;sad\n")
    result = avfuse(
        "csv", root / "t.csv", "--path-column", "file", "--label-column", "emo",
        "-o", root / "m.csv",
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stderr == "warning: 1 of 3 clips listed without a file\n"
    (root / "t.csv").write_text("path\ngone.mp4\n")
    result = avfuse("csv", root / "t.csv", "-o", root / "m.csv", "--overwrite")
    assert result.exit_code == 2
    assert "1 listed in t.csv, but no such file" in result.stderr


@pytest.mark.parametrize("delimiter", ["tab", "\\t", "\t"])
def test_a_tab_can_be_given_as_a_word(tmp_path: Path, delimiter: str) -> None:
    root = corpus(tmp_path)
    (root / "t.tsv").write_text("path\tlabel\nsad/1.mp4\tsad\n")
    result = avfuse("csv", root / "t.tsv", "-o", root / "m.csv", "--delimiter", delimiter)
    assert result.exit_code == 0


def test_a_delimiter_of_two_characters_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path\n")
    result = avfuse("csv", tmp_path / "t.csv", "-o", tmp_path / "m.csv", "--delimiter", "::")
    assert result.exit_code == 2
    assert "expected one character or 'tab', got '::'" in result.stderr


def test_problems_of_a_table_are_listed_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("clip,path,split\na,a.mp4,x\na,b.mp4,train\n")
    result = avfuse("csv", tmp_path / "t.csv", "-o", tmp_path / "m.csv")
    assert result.exit_code == 2
    assert "t.csv has 2 problems:\n  line 2: split 'x' is none of" in result.stderr


def test_every_recipe_takes_its_options(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "r/Actor_01/02-02-06-01-01-01-01.mp4",
        "c/1064_IEO_DIS_MD.flv",
        "a/Train/Sad/1.avi",
        "a/Val/Sad/1.avi",
        "m/train_splits/dia125_utt3.mp4",
        "e/train/s1.avi",
        "d/Clip/original/1.mp4",
    )
    tables = {
        "m/train_sent_emo.csv": "Speaker,Emotion,Dialogue_ID,Utterance_ID\nJoey,joy,125,3\n",
        "e/train-label.csv": "name,discrete\ns1,sad\n",
        "d/train(single-labeled)/set_2.csv": "video_name,label\n1,2\n",
        "d/test(single-labeled)/set_2.csv": "video_name,label\n",
    }
    write_texts(tmp_path, tables)
    runs = {
        "ravdess r --modality video-only --channel song": "1 clip",
        "crema-d c --media video --keep-defects": "1 clip",
        "afew a --keep-shared": "2 clips",
        "meld m --keep-defects": "1 clip",
        "mer2023 e --subset train": "1 clip",
        "dfew d --test-set 2": "splits: train 1",
    }
    for number, (run, expected) in enumerate(runs.items()):
        recipe, root, *options = run.split()
        result = avfuse(recipe, tmp_path / root, "-o", tmp_path / f"{number}.csv", *options)
        assert expected in result.stdout, (run, result.output)


def test_recipes_of_more_corpora_take_their_options(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "c/1001_IEO_ANG_MD.flv",
        "n/subject 1/fear/sentence 1/s1_fe_1.avi",
        "s/AudioData/JK/su01.wav",
        "M003/video/top/sad/level_1/001.mp4",
        "M003/audio/sad/level_1/001.m4a",
        "i/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
        "h/Raw/v1/0001.mp4",
        "w/data/clips/00001.mp4",
        "b/wav/03a01Fa.wav",
    )
    tables = {
        "c/tabulatedVotes.csv": ",A,D,F,H,N,S,fileName\n200001,0,4,1,0,0,0,1001_IEO_ANG_MD\n",
        "i/Session1/dialog/EmoEvaluation/x.txt": "[1 - 2]\tSes01F_impro01_F000\texc\t[1, 1, 1]\n",
        "h/label.csv": "video_id,clip_id,label,label_T,mode\nv1,1,1,-1,test\n",
        "w/multi/no_caption/set_3/train.txt": "",
        "w/multi/no_caption/set_3/test.txt": "00001.mp4 anger_fear\n",
    }
    for name, text in tables.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    runs = {
        "crema-d c --label-target crowd --raters face": ",disgust,,1001,crowd-face,",
        "enterface n": ",fear,,subject 1\n",
        "savee s --media audio": ",surprise,,JK\n",
        "mead M003 --view top": "M003-top-sad-level_1-001,",
        "mead M003 --media audio": "M003-audio-sad-level_1-001,",
        "iemocap i --media audio --map excited=happy": ",happy,,Ses01F,0\n",
        "ch-sims h --annotation text": ",Negative,test,,text alone\n",
        "mafw w --annotation compound --test-set 3": ",angry_fear,test,,2\n",
        "emo-db b": ",happy,,03,a01\n",
    }
    for number, (run, expected) in enumerate(runs.items()):
        recipe, root, *options = run.split()
        out = tmp_path / f"{number}.csv"
        result = avfuse(recipe, tmp_path / root, "-o", out, *options)
        assert result.exit_code == 0, (run, result.output)
        assert expected in out.read_text(), run


def test_the_real_clips_and_takes_are_indexed_as_the_readme_says(
    tmp_path: Path, data: Path
) -> None:
    out = tmp_path / "out"
    result = avfuse(
        "csv", data / "clips/labelled.csv", "-o", out / "m.csv", "--map", "worried=fear"
    )
    assert result.exit_code == 0
    assert read_manifest(out / "m.csv").labels == (
        "angry", "disgust", "fear", "happy", "neutral", "sad", "surprise",
    )  # fmt: skip
    result = avfuse("ravdess", data / "ravdess/speech", "-o", out / "rav.csv")
    assert result.exit_code == 0
    manifest = read_manifest(out / "rav.csv")
    assert len(manifest.clips) == 1424
    assert len(manifest.speakers) == 24

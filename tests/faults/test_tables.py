"""Tables as people have them: paths from two columns, without suffix, with backslashes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cache.manifest.manifest import read_manifest
from pipeline.cli import main
from tests.pipeline.corpus_files import touch, write_texts

CLIPS = ("Raw/video_0001/0001.mp4", "Raw/video_0001/0002.mp4", "Raw/video_0002/0001.mp4")
TABLES = {
    "label.csv": "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"
    'video_0001,0001,"a, b",-0.6,0,-0.6,-1,Negative,train\n'
    "video_0001,0002,c,0.8,1,1,0.6,Positive,valid\nvideo_0002,0001,d,0,0,0,0,Neutral,test\n",
    "nosuffix.csv": "name,emotion\na,Happy\nb,Sad\n",
    "winpath.csv": "\ufeffpath;label;speaker\r\nv\\a.mp4;Happy;1\r\nv\\b.mp4;Sad;2\r\n",
}


@pytest.fixture(params=["made", "given"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "given":
        folder: Path = request.getfixturevalue("faults") / "tables"
        return folder
    touch(tmp_path / "corpus", *CLIPS, "v/a.mp4", "v/b.mp4")
    write_texts(tmp_path / "corpus", TABLES)
    return tmp_path / "corpus"


def index(table: Path, out: Path, *options: str | Path) -> Result:
    arguments = ["index", "csv", table, "-o", out, *options]
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_a_path_is_made_from_two_columns(corpus: Path, tmp_path: Path) -> None:
    result = index(
        corpus / "label.csv", tmp_path / "m.csv", "--path", "{video_id}/{clip_id}.mp4",
        "--root", corpus / "Raw", "--label-column", "annotation", "--split-column", "mode",
    )  # fmt: skip
    assert result.exit_code == 0
    clips = read_manifest(tmp_path / "m.csv").clips
    assert [clip.path for clip in clips] == [corpus / name for name in CLIPS]
    assert [clip.label for clip in clips] == ["Negative", "Positive", "Neutral"]
    assert [clip.split for clip in clips] == ["train", "val", "test"]


def test_zeros_that_a_spreadsheet_took_are_put_back(corpus: Path, tmp_path: Path) -> None:
    text = (corpus / "label.csv").read_text().replace(",000", ",")
    (tmp_path / "t.csv").write_text(text)
    options = ("--root", corpus / "Raw", "--label-column", "annotation")
    result = index(tmp_path / "t.csv", tmp_path / "m.csv", *options, "--path",
                   "{video_id}/{clip_id}.mp4")  # fmt: skip
    assert result.exit_code == 2
    assert "3 listed in t.csv, but no such file" in result.stderr
    result = index(tmp_path / "t.csv", tmp_path / "m.csv", *options, "--path",
                   "{video_id}/{clip_id:04d}.mp4")  # fmt: skip
    assert len(read_manifest(tmp_path / "m.csv").clips) == 3


def test_names_without_suffix_are_found(corpus: Path, tmp_path: Path) -> None:
    result = index(
        corpus / "nosuffix.csv", tmp_path / "m.csv", "--root", corpus / "v",
        "--path-column", "name", "--label-column", "emotion",
    )  # fmt: skip
    assert result.exit_code == 0
    clips = read_manifest(tmp_path / "m.csv").clips
    assert [(clip.path, clip.label) for clip in clips] == [
        (corpus / "v/a.mp4", "Happy"),
        (corpus / "v/b.mp4", "Sad"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["", "sep=;\r\n"])
@pytest.mark.parametrize("start", ["", "C:\\Users\\me\\corpus\\"])
def test_backslashes_are_read_whatever_the_spreadsheet_wrote(
    corpus: Path, tmp_path: Path, encoding: str, first: str, start: str
) -> None:
    text = (corpus / "winpath.csv").read_text(encoding="utf-8-sig")
    (tmp_path / "t.csv").write_bytes((first + text.replace("v\\", f"{start}v\\")).encode(encoding))
    assert index(tmp_path / "t.csv", tmp_path / "m.csv", "--root", corpus).exit_code == 0
    clips = read_manifest(tmp_path / "m.csv").clips
    assert [(clip.id, clip.path, clip.label, clip.speaker) for clip in clips] == [
        ("v--a.mp4", corpus / "v/a.mp4", "Happy", "1"),
        ("v--b.mp4", corpus / "v/b.mp4", "Sad", "2"),
    ]


def test_two_files_that_fit_are_refused_by_line_and_nothing_is_written(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.wav")
    write_texts(tmp_path, {"t.csv": "path\na\n"})
    result = index(tmp_path / "t.csv", tmp_path / "m.csv")
    assert result.exit_code == 2
    assert "line 2: path 'a' fits a.mp4 and a.wav; write the suffix that is meant" in result.stderr
    assert not (tmp_path / "m.csv").exists()

"""Manifests that are written: what reads back, what is refused, and what stays when it fails."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cache.manifest.manifest import Clip, Manifest, ManifestError, read_manifest, write_manifest


def clips_of(folder: Path) -> list[Clip]:
    return [
        Clip("a", folder / "x/a, b.mp4", 'so "happy"', "train", "s é", 2, 0.1, 7.25),
        Clip("b", Path("/elsewhere/b.mp4")),
        Clip("c", folder / "c.mp4", "sad", "val", None, None, None, 3.0),
    ]


def write_old(folder: Path) -> Path:
    path = folder / "m.csv"
    path.write_text("old")
    return path


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "new")
    path = write_manifest(tmp_path / "new/m.csv", clips)
    assert path == tmp_path / "new/m.csv"
    assert path.read_text() == (
        "clip,path,label,split,speaker,fold,start_seconds,end_seconds\n"
        'a,"x/a, b.mp4","so ""happy""",train,s é,2,0.1,7.25\n'
        "b,/elsewhere/b.mp4,,,,,,\n"
        "c,c.mp4,sad,val,,,,3.0\n"
    )
    assert list(read_manifest(path, check_files=False).clips) == clips
    assert [entry.name for entry in path.parent.iterdir()] == ["m.csv"]


def test_a_path_that_begins_as_a_formula_does_is_written_as_one_from_here(tmp_path: Path) -> None:
    clips = [Clip("a", tmp_path / "=x" / "a.mp4", "-1"), Clip("b", tmp_path / "-b.mp4", "+1")]
    path = write_manifest(tmp_path / "m.csv", clips)
    assert path.read_text() == "clip,path,label,split,speaker\na,./=x/a.mp4,-1,,\nb,./-b.mp4,+1,,\n"
    assert list(read_manifest(path, check_files=False).clips) == clips
    assert [str(clip.path) for clip in read_manifest(path, check_files=False).clips] == [
        f"{tmp_path}/=x/a.mp4", f"{tmp_path}/-b.mp4",
    ]  # fmt: skip


def test_columns_that_no_clip_uses_are_not_written(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "m.csv", [Clip("a", tmp_path / "a.mp4", fold=1)])
    assert path.read_text() == "clip,path,label,split,speaker,fold\na,a.mp4,,,,1\n"


def test_relative_paths_are_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    path = write_manifest(Path("out/m.csv"), [Clip("a", Path("out/a.mp4")), Clip("b", Path("b"))])
    assert path == tmp_path / "work/out/m.csv"
    assert path.read_text().splitlines()[1:] == ["a,a.mp4,,,", f"b,{tmp_path}/work/b,,,"]


def test_a_file_behind_a_link_out_of_the_folder_is_written_absolute(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.mp4").touch()
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "b.mp4").symlink_to(tmp_path / "outside/a.mp4")
    clips = [Clip("a", folder / "link/a.mp4"), Clip("b", folder / "b.mp4")]
    path = write_manifest(folder / "m.csv", clips)
    assert f"a,{folder}/link/a.mp4,,," in path.read_text()
    assert list(read_manifest(path).clips) == clips


def test_an_existing_manifest_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = write_old(tmp_path)
    with pytest.raises(FileExistsError, match=r"m\.csv exists; pass overwrite=True to replace it"):
        write_manifest(path, clips_of(tmp_path))
    assert path.read_text() == "old"
    write_manifest(path, clips_of(tmp_path), overwrite=True)
    assert len(read_manifest(path, check_files=False).clips) == 3


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="is a folder; expected a file name to write"):
        write_manifest(tmp_path, clips_of(tmp_path), overwrite=True)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    path = write_old(tmp_path)
    with pytest.raises(NotADirectoryError, match=r"is a file; expected a folder.*m\.csv"):
        write_manifest(path / "m.csv", clips_of(tmp_path))


@pytest.mark.parametrize(
    ("clips", "problem"),
    [
        ([], "has no clips"),
        ([Clip("a", Path("/a")), Clip("a", Path("/b"))], "clip id 'a' is already on line 2"),
        ([Clip("a", Path("/a\n"))], "holds a line end"),
        ([Clip("a", Path("/a\udcff"))], r"not UTF-8 \(byte 0xff\)"),
        ([Clip("a", Path("/a"), split="holdout")], "split 'holdout' is none of"),
        ([Clip("a", Path("/a"), "1.0")], "clip a: label '1.0' would be read as '1'; call it"),
        ([Clip("a", Path("/a"), speaker="NA")], "speaker 'NA' would be read as None"),
    ],
)
def test_clips_that_would_not_read_back_are_not_written(
    tmp_path: Path, clips: list[Clip], problem: str
) -> None:
    path = write_old(tmp_path)
    with pytest.raises(ManifestError, match=problem) as caught:
        write_manifest(path, clips, overwrite=True)
    assert caught.value.path == path
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]


def test_a_failed_write_leaves_the_old_manifest_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = write_old(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_manifest(path, clips_of(tmp_path), overwrite=True)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]


def test_the_digest_follows_the_rows_and_not_the_place(tmp_path: Path) -> None:
    def digest(folder: Path, clips: list[Clip]) -> str:
        return Manifest(folder / "m.csv", tuple(clips)).digest()

    here, there = tmp_path / "here", tmp_path / "there"
    first = digest(here, clips_of(here))
    assert len(first) == 64
    assert digest(there, clips_of(there)) == first
    assert digest(here, clips_of(here)[::-1]) != first
    changes = {"id": "z", "path": here / "z", "label": "z", "split": "test", "speaker": "z",
               "fold": 5, "start_seconds": 0.2, "end_seconds": 8.0}  # fmt: skip
    digests = {
        digest(here, [replace(clip, **{name: value}), *rest])
        for name, value in changes.items()
        for clip, *rest in [clips_of(here)]
    }
    assert len(digests | {first}) == len(changes) + 1


def test_how_sure_a_speaker_is_is_read_back_and_empty_without_a_speaker(tmp_path: Path) -> None:
    clips = [
        Clip("a", tmp_path / "a.mp4", speaker="Ann", speaker_confidence=0.25),
        Clip("b", tmp_path / "b.mp4", speaker="Bob"),
    ]
    path = write_manifest(tmp_path / "m.csv", clips)
    assert list(read_manifest(path, check_files=False).clips) == clips
    path.write_text("clip,path,speaker,speaker_confidence\na,a.mp4,,0.5\n")
    assert read_manifest(path, check_files=False).clips[0].speaker_confidence is None


def test_a_sentence_is_read_back_and_may_be_a_long_one(tmp_path: Path) -> None:
    clips = [
        Clip("a", tmp_path / "a.mp4", sentence="Kids, by the door: " + "really " * 40 + "yes?"),
        Clip("b", tmp_path / "b.mp4"),
    ]
    path = write_manifest(tmp_path / "m.csv", clips)
    assert list(read_manifest(path, check_files=False).clips) == clips


@pytest.mark.parametrize("text", ["2", "-0.1", "sure"])
def test_a_confidence_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"clip,path,speaker,speaker_confidence\na,a.mp4,Ann,{text}\n")
    with pytest.raises(ManifestError, match=f"line 2: speaker_confidence '{text}' is not"):
        read_manifest(path, check_files=False)


def test_columns_that_are_always_written_are_there_empty(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "m.csv", clips_of(tmp_path), always=["speaker_confidence"])
    with path.open(newline="") as file:
        header, first, *_ = csv.reader(file)
    assert (header[-1], first[-1]) == ("speaker_confidence", "")

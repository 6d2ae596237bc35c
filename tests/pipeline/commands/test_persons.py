from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest, write_manifest
from cache.persons import read_persons
from pipeline.cli import main
from pipeline.persons import sheets
from pipeline.persons.sheets import SIZE, cut_face
from tests.pipeline.extracting import extract
from tests.pipeline.persons.corpus import Seen, write_clip, write_corpus
from tests.pipeline.sheets import pictures

EVIL = '<script>alert(1)</script>, "Ann" & co'


def persons(folder: Path, clips: Sequence[Clip], *options: str) -> Result:
    manifest = write_manifest(folder / "m.csv", clips, overwrite=True)
    command = ["persons", str(manifest), "--cache", str(folder / "cache"), *options]
    return CliRunner().invoke(main, command)


def test_the_table_is_written_and_doubtful_pairs_come_first(tmp_path: Path) -> None:
    clips = write_corpus(
        tmp_path,
        {"a": [Seen("A")], "b": [Seen("A"), Seen("B", range(4))], "c": [Seen("A", away=0.38)]},
    )
    result = persons(tmp_path, clips)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "doubtful: p-a-0 and p-c-0 may be one person (distance 0.38)",
        "person  clips  tracks  confidence",
        "p-a-0       2       2        0.30",
        "p-b-1       1       1        1.00",
        "p-c-0       1       1        0.30",
        "3 persons in 3 clips; a speaker is proposed for 3",
        f"written: {tmp_path / 'cache' / 'persons.json'}",
    ]
    table = read_persons(tmp_path / "cache")
    assert table is not None
    told = json.loads(persons(tmp_path, clips, "--json").output)
    assert told["persons"] == table.to_json()["persons"]
    assert told["doubtful"] == [{"one": "p-a-0", "other": "p-c-0", "distance": 0.38}]


def test_clips_that_cannot_be_used_are_named_and_end_in_one(tmp_path: Path) -> None:
    clips = [
        write_clip(tmp_path, "a", [Seen("A"), Seen("B", crops=0)], speaker="Ann"),
        write_clip(tmp_path, "b", [Seen("A")], speaker="Ann"),
        write_clip(tmp_path, "c", [Seen("A")], speaker="Bob"),
        write_clip(tmp_path, "d", []),
        Clip("e", tmp_path / "e.mp4"),
    ]
    result = persons(tmp_path, clips)
    assert result.exit_code == 1
    assert result.output.splitlines()[-5:-1] == [
        "1 person in 4 clips; a speaker is proposed for 2; nobody stands out in a, d",
        "1 track of faces too small or too few to tell whose",
        "disagreement: Bob by the manifest, Ann by the face: c",
        "left out: e (no entry yet; extract it)",
    ]


def test_corrections_names_and_the_manifest_come_out_safe(tmp_path: Path) -> None:
    clips = [
        write_clip(tmp_path, "a", [Seen("A")], video=True),
        write_clip(tmp_path, "b", [Seen("B", box=(-9, -9, 30, 40))], speaker="Bob", video=True),
    ]
    table = tmp_path / "corrections.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["action", "clip", "track", "person"], ["name", "a", 0, EVIL]])
    out = tmp_path / "out"
    result = persons(tmp_path, clips, "--corrections", str(table), "-o", str(out))
    assert result.exit_code == 0, result.output
    page = out / "page-001.html"
    assert "<script>" not in page.read_text()
    assert "content=\"default-src 'none'; img-src data:; style-src" in page.read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, &#34;Ann&#34; &amp; co" in page.read_text()
    assert [max(picture.shape[:2]) for picture in pictures(page)] == [SIZE, SIZE]
    assert [clip.speaker for clip in read_manifest(out / "manifest.csv").clips] == [EVIL, "Bob"]
    with (out / "manifest.csv").open(newline="") as file:
        assert [row["speaker_confidence"] for row in csv.DictReader(file)] == ["1.0", ""]
    before = page.read_bytes()
    assert persons(tmp_path, clips, "--corrections", str(table), "-o", str(out)).exit_code == 0
    assert page.read_bytes() == before


def test_a_video_that_is_gone_leaves_its_place_empty_and_is_told(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path, "a", [Seen("A")]), write_clip(tmp_path, "b", [Seen("A")])]
    clips[0].path.unlink()
    result = persons(tmp_path, clips, "-o", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "no picture: a (" in result.output
    assert pictures(tmp_path / "out" / "page-001.html") == []
    table = read_persons(tmp_path / "cache")
    assert table is not None
    assert table.speaker("a") == "p-a-0"


def test_pages_of_an_earlier_call_are_removed_and_other_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = write_corpus(tmp_path, {clip: [Seen(clip.upper(), crops=1)] for clip in "abc"})
    out = tmp_path / "out"
    monkeypatch.setattr(sheets, "PER_PAGE", 2)
    persons(tmp_path, clips, "-o", str(out))
    (out / "page-009.html").write_text("mine")
    assert {path.name for path in out.iterdir()} == {
        "manifest.csv", "page-001.html", "page-002.html", "page-009.html",
    }  # fmt: skip
    persons(tmp_path, clips[:2], "-o", str(out))
    assert {path.name for path in out.iterdir()} == {
        "manifest.csv", "page-001.html", "page-009.html",
    }  # fmt: skip


def test_a_page_shows_the_nearest_doubts_of_a_person_and_counts_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = {"b": [Seen("A", away=0.38)], "c": [Seen("A", away=-0.4)]}
    clips = write_corpus(tmp_path, {"a": [Seen("A")], **near})
    monkeypatch.setattr(sheets, "MOST_DOUBTS", 1)
    persons(tmp_path, clips, "-o", str(tmp_path / "out"))
    text = (tmp_path / "out" / "page-001.html").read_text()
    assert text.count("may be the same as p-b-0 (distance 0.38)") == 1
    assert text.count("may be the same as p-a-0 (distance") == 2  # in the lines of b and c
    assert "may be the same as p-c-0" not in text
    assert text.count("and as 1 more") == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("other",), "has no feature set other"),
        (("--corrections", "none.csv"), "File 'none.csv' does not exist"),
        (("--cache", "nowhere"), "nowhere does not exist"),
    ],
)
def test_wrong_use_is_refused_and_writes_nothing(
    tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")]})
    result = persons(tmp_path, clips, *options)
    assert result.exit_code == 2
    assert problem in result.output
    assert not (tmp_path / "cache" / "persons.json").exists()


def test_a_manifest_of_the_users_own_is_not_replaced(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")]})
    own = write_manifest(tmp_path / "manifest.csv", clips)
    before = own.read_bytes()
    result = persons(tmp_path, clips, "-o", str(tmp_path))
    assert result.exit_code == 2
    assert "is a manifest of yours" in result.output
    assert own.read_bytes() == before
    assert not (tmp_path / "cache" / "persons.json").exists()


@pytest.mark.parametrize("out", ["cache", "cache/sheets"])
def test_sheets_do_not_go_into_the_cache(tmp_path: Path, out: str) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")]})
    result = persons(tmp_path, clips, "-o", str(tmp_path / out))
    assert result.exit_code == 2
    assert "is in the cache" in result.output
    assert not (tmp_path / "cache" / "persons.json").exists()


def test_proposals_are_no_speakers_of_the_manifests_when_it_is_read_again(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")], "b": [Seen("A")], "c": []})
    out = tmp_path / "out"
    persons(tmp_path, [clips[0], replace(clips[1], speaker="Ann"), clips[2]], "-o", str(out))
    made = out / "manifest.csv"
    first = made.read_bytes()
    proposed, stated, nobody = read_manifest(made).clips
    assert (proposed.speaker, proposed.speaker_confidence, proposed.stated_speaker) == (
        "Ann", 1.0, None,
    )  # fmt: skip
    assert (stated.stated_speaker, nobody.speaker) == ("Ann", None)
    arguments = ["persons", str(made), "--cache", str(tmp_path / "cache"), "-o", str(out)]
    CliRunner().invoke(main, arguments)
    assert made.read_bytes() == first


def test_a_manifest_of_which_no_clip_can_be_used_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")], "b": [Seen("B")]})
    assert persons(tmp_path, clips).exit_code == 0
    table = (tmp_path / "cache" / "persons.json").read_bytes()
    result = persons(tmp_path, [Clip("x", tmp_path / "x.mp4"), Clip("y", tmp_path / "y.mp4")])
    assert result.exit_code == 2
    assert "no clip of the manifest can be used: x, y (no entry yet; extract it)" in result.output
    assert (tmp_path / "cache" / "persons.json").read_bytes() == table


def test_clips_that_a_smaller_manifest_drops_from_the_table_are_named(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")], "b": [Seen("B")], "c": [Seen("C")]})
    assert "no longer" not in persons(tmp_path, clips).output
    result = persons(tmp_path, clips[:1])
    assert result.exit_code == 0
    assert "no longer in the table, as the manifest lacks them: b, c" in result.output


@pytest.mark.parametrize(
    ("box", "columns", "rows"),
    [
        ((20, 30, 60, 70), (8, 72), (18, 82)),  # a margin of 12 around 40 pixels
        ((-50, -50, -20, -20), (0, 1), (0, 1)),
        ((float("-inf"), 0, float("inf"), 10), (0, 100), (0, 100)),
    ],
)
def test_a_face_is_cut_out_with_a_margin_inside_the_frame(
    box: tuple[float, ...], columns: tuple[int, int], rows: tuple[int, int]
) -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[slice(*rows), slice(*columns)] = 200
    face = cut_face(image, box)
    assert max(face.shape[:2]) == SIZE
    assert (face == 200).all()


@pytest.mark.slow
def test_killed_at_any_moment_the_old_table_or_the_new_is_there(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {f"c{n}": [Seen("A")] for n in range(20)})
    assert persons(tmp_path, clips[:1]).exit_code == 0
    old = (tmp_path / "cache" / "persons.json").read_bytes()
    assert persons(tmp_path, clips).exit_code == 0
    new = (tmp_path / "cache" / "persons.json").read_bytes()
    write_manifest(tmp_path / "one.csv", clips[:1])
    code = (
        "import os, signal, sys\n"
        "from cache import commit\n"
        "replace = os.replace, os.rename\n"
        "def kill(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace = os.rename = kill\n"
        "from pipeline.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "persons", "one.csv", "--cache", "cache"]
    done = subprocess.run(
        command, cwd=tmp_path, check=False, timeout=120, env=dict(os.environ), capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "cache" / "persons.json").read_bytes() == new != old
    table = read_persons(tmp_path / "cache")
    assert table is not None
    assert len(table.clips) == 20


@pytest.mark.slow
def test_real_speakers_are_told_apart_and_one_in_two_clips_is_one(tmp_path: Path) -> None:
    folder = os.environ.get("AVFUSE_TEST_DATA")
    if not folder:
        pytest.skip("needs real clips: set AVFUSE_TEST_DATA")
    faces = Path(folder) / "clips" / "faces"
    clips = [
        Clip("first", faces / "grid_bbaf2n.mpg", end_seconds=0.8),
        Clip("second", faces / "grid_bbaf2n.mpg", start_seconds=2.0),
        Clip("other", faces / "grid_swiz3n.mpg", end_seconds=0.8),
    ]
    manifest = write_manifest(tmp_path / "m.csv", clips)
    assert extract(manifest, tmp_path / "cache", "--sets", "faces").exit_code == 0
    result = persons(tmp_path, clips, "-o", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    table = read_persons(tmp_path / "cache")
    assert table is not None
    assert [table.speaker(clip.id) for clip in clips] == ["p-first-0", "p-first-0", "p-other-0"]
    assert table.doubtful == ()
    assert len(pictures(tmp_path / "out" / "page-001.html")) == 3

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from cache.manifest.manifest import ManifestError, read_manifest, write_manifest
from cache.manifest.votes import format_votes, parse_votes


@pytest.mark.parametrize(
    ("text", "votes"),
    [
        ("happy:3;sad:1", (("happy", 3.0), ("sad", 1.0))),
        (" happy : 0.5 ; sad:0", (("happy", 0.5), ("sad", 0.0))),
        ("a:b:2", (("a:b", 2.0),)),
        ("失望:11", (("失望", 11.0),)),
    ],
)
def test_votes_are_read(text: str, votes: tuple[tuple[str, float], ...]) -> None:
    assert parse_votes(text) == votes


def test_votes_are_written_as_people_write_them() -> None:
    assert format_votes((("happy", 3.0), ("sad", 0.1))) == "happy:3;sad:0.1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7", "'7' are not written like happy:3;sad:1"),
        ("happy:3;", "not written like"),
        (":3", "not written like"),
        ("happy:-1", "not written like"),
        ("happy:nan", "not written like"),
        ("happy:1e9", "not written like"),
        ("happy:1;happy:1", "name 'happy' twice"),
        ("happy:0;sad:0", "are all 0"),
    ],
)
def test_votes_that_mean_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_votes(text)


def test_votes_and_target_are_columns_of_the_manifest(tmp_path: Path) -> None:
    clips = (
        Clip("a", tmp_path / "a.mp4", "sad", label_target="crowd", votes=(("sad", 2.0),)),
        Clip("b", tmp_path / "b.mp4", "happy", label_target="crowd"),
    )
    path = write_manifest(tmp_path / "m.csv", clips)
    assert path.read_text() == (
        "clip,path,label,split,speaker,label_target,votes\n"
        "a,a.mp4,sad,,,crowd,sad:2\n"
        "b,b.mp4,happy,,,crowd,\n"
    )
    manifest = read_manifest(path, check_files=False)
    assert manifest.clips == clips
    assert manifest.label_target == "crowd"


def test_labels_of_two_kinds_in_one_manifest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("clip,path,label_target\na,a.mp4,crowd\nb,b.mp4,acted\nc,c.mp4,\n")
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, check_files=False)
    assert caught.value.problems == (
        "line 3: label_target 'acted' differs from 'crowd' on line 2; "
        "one manifest has labels of one kind: if these are the same (older manifests don't say "
        "it), write one value in all rows",
        "line 4: label_target '' differs from 'crowd' on line 2; "
        "one manifest has labels of one kind: if these are the same (older manifests don't say "
        "it), write one value in all rows",
    )


def test_a_bad_vote_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("clip,path,votes\na,a.mp4,sad:1\nb,b.mp4,3\n")
    with pytest.raises(ManifestError, match="line 3: votes '3' are not written like"):
        read_manifest(path, check_files=False)


def test_a_column_of_notes_is_no_misspelt_column_of_votes(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("clip,path,notes\na,a.mp4,out of focus\n")
    assert read_manifest(path, check_files=False).clips == (Clip("a", tmp_path / "a.mp4"),)


def test_target_and_votes_count_in_the_digest_where_they_are_used(tmp_path: Path) -> None:
    texts = [
        "clip,path,label\na,a.mp4,sad\n",
        "clip,path,label,label_target\na,a.mp4,sad,crowd\n",
        "clip,path,label,votes\na,a.mp4,sad,sad:1\n",
        "clip,path,label,votes\na,a.mp4,sad,sad:2\n",
        "clip,path,label,votes\na,a.mp4,sad,\n",
    ]
    digests = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.csv"
        path.write_text(text)
        digests.append(read_manifest(path, check_files=False).digest())
    assert len(set(digests)) == 4
    assert digests[0] == digests[4]


def test_a_manifest_without_them_keeps_the_digest_that_it_always_had(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("clip,path,label,start_seconds\na,a.mp4,sad,0.5\n")
    row = '["a", "a.mp4", "sad", "", "", "", "0.5", ""]\n'
    digest = hashlib.sha256(row.encode()).hexdigest()
    assert read_manifest(path, check_files=False).digest() == digest

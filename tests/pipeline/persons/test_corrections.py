from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.persons.corrections import CorrectionError, read_corrections
from pipeline.persons.find import find_persons
from pipeline.persons.gather import find_sets
from tests.pipeline.persons.corpus import Seen, write_corpus

HEADER = "action,clip,track,person,other_clip,other_track\n"


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """A in a and b, B in b, c (less like the others) and d, where it is two tracks."""
    return write_corpus(
        tmp_path,
        {
            "a": [Seen("A")],
            "b": [Seen("A"), Seen("B")],
            "c": [Seen("B", away=0.2)],
            "d": [Seen("B", range(10)), Seen("B", range(10, 20)), Seen("C", crops=0)],
        },
    )


def correct(folder: Path, clips: Sequence[Clip], *rows: str) -> dict[str, set[str]]:
    """Find the persons under corrections; name to tracks such as ``a0``."""
    path = folder / "corrections.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    persons = find_persons(clips, find_sets(folder / "cache"), path).persons
    return {p.name: {f"{t.clip}{t.track}" for t in p.tracks} for p in persons.persons}


def refusal(folder: Path, clips: Sequence[Clip], *rows: str) -> str:
    with pytest.raises(CorrectionError) as error:
        correct(folder, clips, *rows)
    return str(error.value).removeprefix(f"{folder / 'corrections.csv'}: ")


def test_without_rows_nothing_changes(tmp_path: Path, clips: list[Clip]) -> None:
    assert correct(tmp_path, clips) == {"p-b-1": {"b1", "c0", "d0", "d1"}, "p-a-0": {"a0", "b0"}}


def test_a_name_is_that_of_the_whole_person_whatever_its_letters(
    tmp_path: Path, clips: list[Clip]
) -> None:
    name = '<script>alert("x")</script>, Ann'
    quoted = '"' + name.replace('"', '""') + '"'
    found = correct(tmp_path, clips, f"name,b,0,{quoted}", "name,c,0,Bob")
    assert found == {"Bob": {"b1", "c0", "d0", "d1"}, name: {"a0", "b0"}}


def test_a_name_holds_when_clips_are_added_before(tmp_path: Path, clips: list[Clip]) -> None:
    more = [*write_corpus(tmp_path, {"0": [Seen("A")]}), *clips]
    assert correct(tmp_path, more, "name,b,0,Ann")["Ann"] == {"00", "a0", "b0"}


def test_a_merge_makes_one_person_of_two(tmp_path: Path, clips: list[Clip]) -> None:
    found = correct(tmp_path, [clips[0], *clips[2:]], "merge,a,0,,c,0")
    assert found == {"p-a-0": {"a0", "c0", "d0", "d1"}}


def test_a_merge_leaves_out_who_is_seen_beside_the_person(
    tmp_path: Path, clips: list[Clip]
) -> None:
    # Of b0 and b1, in one frame, one can't be the person; those nearest to it go with it.
    found = correct(tmp_path, clips, "merge,a,0,,c,0")
    assert found == {"p-a-0": {"a0", "b0", "c0"}, "p-b-1": {"b1", "d0", "d1"}}


def test_one_name_on_two_tracks_merges_them(tmp_path: Path, clips: list[Clip]) -> None:
    found = correct(tmp_path, clips[:1] + clips[2:], "name,a,0,Ann", "name,c,0,Ann")
    assert found == {"Ann": {"a0", "c0", "d0", "d1"}}


def test_a_split_keeps_two_tracks_apart_however_alike(tmp_path: Path, clips: list[Clip]) -> None:
    found = correct(tmp_path, clips, "split,c,0,,d,0")
    assert {frozenset(tracks) & {"c0", "d0"} for tracks in found.values()} == {
        frozenset({"c0"}),
        frozenset({"d0"}),
        frozenset(),
    }


def test_two_names_keep_two_tracks_apart_however_alike(tmp_path: Path, clips: list[Clip]) -> None:
    found = correct(tmp_path, clips, "name,c,0,Bob", "name,d,0,Cid")
    assert "c0" in found["Bob"]
    assert "d0" in found["Cid"]


def test_a_moved_track_is_the_other_persons(tmp_path: Path, clips: list[Clip]) -> None:
    found = correct(tmp_path, clips, "move,c,0,Ann", "name,a,0,Ann", "name,b,1,Bob")
    assert found == {"Ann": {"a0", "b0", "c0"}, "Bob": {"b1", "d0", "d1"}}


def test_a_track_moved_to_none_is_nobodys_and_one_without_a_crop_can_be_somebodys(
    tmp_path: Path, clips: list[Clip]
) -> None:
    found = correct(tmp_path, clips, "move,c,0,none", "name,d,2,Cid")
    assert found == {"p-b-1": {"b1", "d0", "d1"}, "p-a-0": {"a0", "b0"}, "Cid": {"d2"}}


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["name,x,0,Ann"], "line 2: no clip 'x' in the manifest"),
        (["name,a,0,Ann", "name,a,3,Bob"], "line 3: clip a has no track 3; its tracks: 0"),
        (["move,a,0,Eve"], "line 2: no row names anybody 'Eve'; add one with action name"),
        (["merge,b,0,,b,1"], "line 2: its tracks can't be one person: they are seen in the same"),
        (["name,b,0,Ann", "name,b,1,Ann"], "line 3: its tracks can't be one person: they are seen"),
        (
            ["merge,a,0,,c,0", "split,c,0,,a,0"],
            "line 2: its tracks can't be one person: line 3 splits them",
        ),
        (["name,a,0,Ann", "name,a,0,Bob"], "line 3: the person on this track is called 'Ann'"),
        (
            ["name,a,0,Ann", "name,c,0,Bob", "merge,c,0,,a,0"],
            "line 4: it would make 'Ann' and 'Bob' one person",
        ),
        (["name,a,0,Ann", "move,a,0,none"], "line 3: the track is somebody's by another line"),
        (["move,a,0,none", "name,a,0,Ann"], "line 3: track 0 of clip a is nobody's by line 2"),
        (["split,a,0,,a,0"], "line 2: a track can't be split from itself"),
        (["name,x,0,Ann", "name,y,0,Ann"], "line 2: no clip 'x' in the manifest; line 3: no clip"),
    ],
)
def test_an_impossible_row_is_refused_with_its_line(
    tmp_path: Path, clips: list[Clip], rows: list[str], problem: str
) -> None:
    assert refusal(tmp_path, clips, *rows).startswith(problem)


def test_a_row_of_a_clip_that_cannot_be_used_says_why(tmp_path: Path, clips: list[Clip]) -> None:
    clips[0].path.write_text("another")
    problem = "line 2: clip a can't be used: its file has changed; extract it again"
    assert refusal(tmp_path, clips, "name,a,0,Ann") == problem


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("call,a,0,Ann", "action must be name, move, merge, split, got 'call'"),
        ("name,a,first,Ann", "a track is a number from 0, got 'first'"),
        ("name,a,-1,Ann", "a track is a number from 0"),
        ("name,a,0", "name needs clip, track, person and nothing else; see person"),
        ("name,a,0,Ann,b,0", "name needs clip, track, person and nothing else; see other_clip"),
        ("merge,a,0,Ann,b,0", "merge needs clip, track, other_clip, other_track and nothing"),
        ("split,a,0,,b", "split needs clip, track, other_clip, other_track .*see other_track"),
        ("name,a,0,none", "'none' names nobody"),
        ("name,a,0,=1+A1", ".* a spreadsheet would run it"),
    ],
)
def test_a_row_that_lacks_or_exceeds_what_it_needs_is_refused(
    tmp_path: Path, row: str, problem: str
) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(HEADER + f"name,a,0,Ann\n{row}\n")
    with pytest.raises(CorrectionError, match=f"line 3: {problem}"):
        read_corrections(path)


def test_columns_that_no_row_needs_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text("action;clip;track;person\nmove;a;0;none\n")
    assert [row.person for row in read_corrections(path)] == ["none"]


def test_the_large_first_letter_of_a_spreadsheet_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text("action,clip,track,person\nMove,a,0,None\nName,a,1,Ann\n")
    rows = read_corrections(path)
    assert [(row.action, row.person) for row in rows] == [("move", "none"), ("name", "Ann")]


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    with pytest.raises(CorrectionError, match="no such file"):
        read_corrections(path)
    path.write_text("clip,track,person\na,0,Ann\n")
    with pytest.raises(CorrectionError, match="line 1: no column action"):
        read_corrections(path)

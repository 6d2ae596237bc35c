"""The table of persons on disk: whole, strict, and never used beside another entry."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.commit import CacheWriteError
from cache.digest import canonical_json, digest_json
from cache.entries.entry import read_identity
from cache.entries.source import Source
from cache.persons import (
    ClipSpeaker,
    DoubtfulPair,
    Person,
    Persons,
    PersonsError,
    PersonTrack,
    check_name,
    find_stale_persons,
    read_persons,
    write_persons,
)
from cache.sets.feature_set import FeatureSet, SetSpec

ANN = Person("Ann", 0.75, (PersonTrack("a", 0, 0.5), PersonTrack("a", 2, 0.25)))
BOB = Person('<b>"Bob", 2', 1.0, (PersonTrack("a", 1, 1.0), PersonTrack("b", 0, 1.0)))
PERSONS = Persons(
    "identity-0123456789abcdef",
    (ANN, BOB),
    {
        "a": ClipSpeaker(BOB.name, 0.5, "1" * 64),
        "b": ClipSpeaker(BOB.name, 1.0, "2" * 64),
        "c": ClipSpeaker(None, 0.0, "3" * 64),
    },
    (DoubtfulPair("Ann", BOB.name, 0.475),),
)


def test_a_table_reads_back_as_it_was_and_none_is_none(tmp_path: Path) -> None:
    assert read_persons(tmp_path) is None
    write_persons(tmp_path, PERSONS)
    read = read_persons(tmp_path)
    assert read == PERSONS
    assert read.digest == PERSONS.digest


def test_tracks_and_speakers_are_found_by_clip() -> None:
    assert PERSONS.in_clip("a") == {0: "Ann", 2: "Ann", 1: BOB.name}
    assert PERSONS.in_clip("c") == PERSONS.in_clip("unknown") == {}
    assert PERSONS.speaker("b") == BOB.name
    assert PERSONS.speaker("c") is PERSONS.speaker("unknown") is None
    assert PERSONS.by_name["Ann"].clips == ("a",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"persons": [ANN, ANN]}, "person Ann stands twice"),
        ({"persons": [ANN, replace(BOB, tracks=ANN.tracks)]}, "track 0 of clip a stands twice"),
        ({"persons": [ANN]}, "its speaker .* is not seen in it"),
        ({"clips": {}}, "clip a has a person and no row"),
        ({"set": "../elsewhere-0123456789abcdef"}, "no folder of a feature set"),
        ({"doubtful": [DoubtfulPair("Ann", "Eve", 0.5)]}, "'Ann' and 'Eve' are not two of"),
        ({"doubtful": [DoubtfulPair("Ann", "Ann", 0.5)]}, "'Ann' and 'Ann' are not two of"),
        ({"clips": {"../a": PERSONS.clips["a"]}}, "is not a clip id"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(PERSONS, **change)


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: replace(ANN, tracks=()), "person 'Ann' has no track"),
        (lambda: replace(ANN, confidence=1.5), "in \\[0, 1\\], got 1.5"),
        (lambda: PersonTrack("a", -1, 0.5), "expected a track from 0 on .* got -1"),
        (lambda: PersonTrack("a", 0, 1.01), "a share in \\[0, 1\\], got 0 and 1.01"),
        (lambda: PersonTrack("../a", 0, 0.5), "is not a clip id"),
    ],
)
def test_a_value_out_of_range_is_refused(build: Callable[[], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        build()


@pytest.mark.parametrize("name", ["", "=1+A1", " Ann", "A\nB", "NA", "1.0", "A" * 201])
def test_a_name_that_a_manifest_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"speaker|no name of a person"):
        check_name(name)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema": 2}', '{"schema": 1}'])
def test_what_is_no_table_is_refused_and_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "persons.json").write_text(content)
    with pytest.raises(PersonsError, match=r"persons\.json can't be used.*run 'avfuse persons'"):
        read_persons(tmp_path)


def test_a_changed_letter_and_a_forged_value_are_refused(tmp_path: Path) -> None:
    path = write_persons(tmp_path, PERSONS)
    path.write_text(path.read_text().replace("Ann", "Eve"))
    with pytest.raises(PersonsError, match="its checksum differs"):
        read_persons(tmp_path)
    values = {"schema": 1, **json.loads(json.dumps(PERSONS.to_json()))}
    values["persons"][0]["tracks"][0]["track"] = "0"
    path.write_text(canonical_json({**values, "checksum": digest_json(values)}))
    with pytest.raises(PersonsError, match=r"persons\[0\]\.tracks\[0\]\.track is '0', expected"):
        read_persons(tmp_path)


def test_a_table_that_could_not_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_persons(tmp_path, PERSONS)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.rename", refuse)
    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(CacheWriteError, match="the table of persons"):
        write_persons(tmp_path, replace(PERSONS, doubtful=()))
    assert read_persons(tmp_path) == PERSONS
    assert [path.name for path in tmp_path.iterdir()] == ["persons.json"]


def test_a_row_is_stale_once_its_entry_is_another_or_gone(tmp_path: Path, source: Source) -> None:
    made = FeatureSet(tmp_path, SetSpec("identity", {}, 1)).create({})
    stated = dict[str, ClipSpeaker]()
    for clip in ("a", "b", "c"):
        with made.writer(clip, source=source, provenance={}) as writer:
            writer.append(times=np.zeros(1))
            writer.finish(attributes={"clip": clip})
        stated[clip] = ClipSpeaker(None, 0.0, read_identity(made.entry_path(clip)))
    persons = Persons(made.folder.name, (), stated)
    assert find_stale_persons(tmp_path, persons, ["a", "b", "c", "new"]) == {}
    later = replace(persons, clips={clip: stated[clip] for clip in ("a", "c")})
    assert find_stale_persons(tmp_path, later, ["b"]) == {
        "b": f"its entry in {made.folder.name} was added since"
    }
    made.entry_path("b").unlink()
    with made.writer("c", source=source, provenance={}) as writer:
        writer.append(times=np.zeros(1))
        writer.finish(attributes={"clip": "another"})
    assert find_stale_persons(tmp_path, persons, ["a", "b", "c"]) == {
        "b": f"its entry in {made.folder.name} was removed since",
        "c": f"its entry in {made.folder.name} was made again since",
    }
    gone = replace(persons, set="identity-0123456789abcdef")
    assert gone.set in find_stale_persons(tmp_path, gone, ["a"])["a"]

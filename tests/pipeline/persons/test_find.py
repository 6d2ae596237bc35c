from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.entries.entry import Entry
from cache.manifest.clip import Clip
from cache.persons import Persons, write_persons
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.sets.spec import SetError
from pipeline.faces.identity import IdentityArrays, read_identity
from pipeline.faces.tracks import BoxSource, read_tracks
from pipeline.persons import gather
from pipeline.persons.find import Disagreement, Found, find_persons
from pipeline.persons.gather import find_sets
from tests.pipeline.known_faces import SPEC
from tests.pipeline.persons.corpus import IDENTITY, Seen, write_clip, write_corpus, write_entries

FIRST, SECOND = range(10), range(10, 20)


def find(folder: Path, clips: Sequence[Clip], corrections: Path | None = None) -> Found:
    return find_persons(clips, find_sets(folder / "cache"), corrections)


def tracks_of(persons: Persons) -> dict[str, list[tuple[str, int]]]:
    return {p.name: [(t.clip, t.track) for t in p.tracks] for p in persons.persons}


def test_one_person_in_all_clips_is_one_and_speaks_in_each(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {f"c{n}": [Seen("A", away=0.1 * (n % 2))] for n in range(7)})
    persons = find(tmp_path, clips).persons
    assert tracks_of(persons) == {"p-c0-0": [(f"c{n}", 0) for n in range(7)]}
    assert {row.speaker for row in persons.clips.values()} == {"p-c0-0"}
    # Four at 0, three at 0.1 from them: the rest of a far one's is 4 at 0.1 and 2 at 0, squared
    # 0.04/6; of a near one's 3 at 0.1 of 6.
    assert persons.persons[0].confidence == pytest.approx(1 - 0.04 / 6 / 0.35**2, abs=1e-4)


def test_persons_are_told_apart_and_the_one_in_most_clips_comes_first(tmp_path: Path) -> None:
    found = find(
        tmp_path, write_corpus(tmp_path, {"a": [Seen("A")], "b": [Seen("B")], "c": [Seen("B")]})
    )
    assert tracks_of(found.persons) == {"p-b-0": [("b", 0), ("c", 0)], "p-a-0": [("a", 0)]}
    assert found.persons.doubtful == ()
    assert {p.confidence for p in found.persons.persons} == {1.0}


def test_nobody_in_any_clip_is_no_person_and_no_speaker(tmp_path: Path) -> None:
    found = find(tmp_path, write_corpus(tmp_path, {"a": [], "b": []}))
    assert found.persons.persons == ()
    assert [row.speaker for row in found.persons.clips.values()] == [None, None]
    assert found.unclear == 0


def test_twins_in_one_frame_are_two_persons_and_one_after_the_other_one(tmp_path: Path) -> None:
    twins = write_corpus(tmp_path, {"a": [Seen("A"), Seen("A", range(19, 20))]})
    assert tracks_of(find(tmp_path, twins).persons) == {"p-a-0": [("a", 0)], "p-a-1": [("a", 1)]}
    later = write_corpus(tmp_path, {"a": [Seen("A", FIRST), Seen("A", SECOND)]})
    assert tracks_of(find(tmp_path, later).persons) == {"p-a-0": [("a", 0), ("a", 1)]}


def test_the_speaker_is_who_covers_most_where_a_detector_saw_them(tmp_path: Path) -> None:
    large, followed = (0, 0, 60, 60), BoxSource.FOLLOW
    clips = write_corpus(
        tmp_path,
        {
            "size": [Seen("A"), Seen("B", box=large)],  # 1,600 and 3,600 pixels
            "time": [Seen("A"), Seen("B", FIRST)],
            "followed": [Seen("A"), Seen("B", box=large, source=followed)],
            "equal": [Seen("A"), Seen("B", range(17))],  # a lead of 0.15
        },
    )
    persons = find(tmp_path, clips).persons
    a, b = "p-size-0", "p-size-1"
    assert [persons.speaker(clip.id) for clip in clips] == [b, a, a, None]
    confidence = [persons.clips[clip.id].confidence for clip in clips]
    assert confidence == pytest.approx([20 / 36, 0.5, 1.0, 0.0], abs=1e-3)
    shares = {(t.clip, t.track): t.share for t in persons.by_name[b].tracks}
    assert shares[("time", 1)] == 0.5
    assert shares[("followed", 1)] == 0.0


def test_persons_who_may_be_one_are_listed_and_their_confidence_falls(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")], "b": [Seen("A", away=0.38)]})
    persons = find(tmp_path, clips).persons
    assert [(p.one, p.other, p.distance) for p in persons.doubtful] == [("p-a-0", "p-b-0", 0.38)]
    assert {p.confidence for p in persons.persons} == {0.3}  # 0.03 of the 0.1 up to 0.45


def test_small_faces_and_tracks_without_a_crop_are_nobody_yet_and_leave_no_speaker(
    tmp_path: Path,
) -> None:
    clips = write_corpus(
        tmp_path,
        {
            "small": [Seen("A", box=(0, 0, 23, 40)), Seen("B", box=(50, 50, 80, 80), crops=0)],
            "large": [Seen("A", box=(0, 0, 24, 40))],
        },
    )
    found = find(tmp_path, clips)
    assert tracks_of(found.persons) == {"p-large-0": [("large", 0)]}
    assert found.persons.speaker("small") is None
    assert found.unclear == 2


def test_the_manifests_speakers_name_persons_and_disagreements_are_told(tmp_path: Path) -> None:
    clips = [
        write_clip(tmp_path, clip, [Seen(who)], speaker=speaker)
        for clip, who, speaker in (
            ("a", "A", "Ann"), ("b", "A", "Ann"), ("c", "A", "Bob"), ("d", "B", "Bob"),
            ("e", "C", "Ann"), ("f", "D", "x"), ("g", "D", "y"),
        )
    ]  # fmt: skip
    found = find(tmp_path, clips)
    # Ann is in two clips of the first and in one of the third; the fourth has no majority.
    assert {name: rows[0][0] for name, rows in tracks_of(found.persons).items()} == {
        "Ann": "a", "p-f-0": "f", "Bob": "d", "p-e-0": "e",
    }  # fmt: skip
    assert found.disagreements == (
        Disagreement("c", "Bob", "Ann"),
        Disagreement("e", "Ann", "p-e-0"),
        Disagreement("f", "x", "p-f-0"),
        Disagreement("g", "y", "p-f-0"),
    )


def test_clips_that_are_added_rename_nobody(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {"m": [Seen("A")], "n": [Seen("B")], "o": [Seen("B")]})
    before = find(tmp_path, clips).persons
    added = [*write_corpus(tmp_path, {"a": [Seen("B")], "b": [Seen("C")]}), *clips]
    assert set(tracks_of(find(tmp_path, added).persons)) == {"p-a-0", "p-b-0", "p-m-0"}
    write_persons(tmp_path / "cache", before)
    persons = find(tmp_path, added).persons
    assert tracks_of(persons) == {
        "p-n-0": [("a", 0), ("n", 0), ("o", 0)],
        "p-b-0": [("b", 0)],
        "p-m-0": [("m", 0)],
    }
    write_persons(tmp_path / "cache", persons)
    assert find(tmp_path, added).persons == persons


def test_a_name_of_an_entry_that_was_made_again_is_not_kept(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {"m": [Seen("A")]})
    persons = find(tmp_path, clips).persons
    renamed = replace(persons.persons[0], name="p-old-0")
    rows = {"m": replace(persons.clips["m"], speaker="p-old-0", identity="0" * 64)}
    write_persons(tmp_path / "cache", replace(persons, persons=(renamed,), clips=rows))
    assert set(tracks_of(find(tmp_path, clips).persons)) == {"p-m-0"}


def test_a_clip_id_too_long_for_a_name_is_shortened_and_stays_unique(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {"x" * 190 + who: [Seen(who)] for who in "AB"})
    names = set(tracks_of(find(tmp_path, clips).persons))
    assert len(names) == 2
    assert max(map(len, names)) < 200


def test_clips_without_entries_or_with_stale_ones_are_left_out_and_named(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")], "b": [Seen("A")], "c": [Seen("A")]})
    FeatureSet(tmp_path / "cache", IDENTITY).entry_path("b").unlink()
    clips[2].path.write_text("another")
    found = find(tmp_path, clips)
    assert set(found.persons.clips) == {"a"}
    assert found.tracks.left_out == {
        "b": "no entry yet; extract it",
        "c": "its file has changed; extract it again",
    }


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"embedding": np.zeros((2, 127), np.float32)}, r"embeddings have the shape \(2, 127\)"),
        ({"frame": np.array([0, 2], np.int32)}, "of frames that it doesn't have"),
        ({"frame": np.array([-1, 0], np.int32)}, "of frames that it doesn't have"),
    ],
)
def test_arrays_that_contradict_each_other_leave_the_clip_out(
    tmp_path: Path, change: dict[str, np.ndarray], problem: str
) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")], "b": []})
    sets = find_sets(tmp_path / "cache")
    found = read_tracks(sets.faces.read("a"))
    crops = replace(read_identity(sets.identity.read("a")), **change)
    write_entries(tmp_path / "cache", clips[0].path, found, crops)
    assert re.search(problem, find(tmp_path, clips).tracks.left_out["a"])


def test_a_crop_whose_embedding_is_no_number_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = write_corpus(tmp_path, {"a": [Seen("A")], "b": [Seen("A")]})

    def forged(entry: Entry) -> IdentityArrays:
        crops = read_identity(entry)
        crops.embedding[0] = np.nan
        return crops

    monkeypatch.setattr(gather, "read_identity", forged)
    assert tracks_of(find(tmp_path, clips).persons) == {"p-a-0": [("a", 0), ("b", 0)]}


def test_other_sets_are_refused(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    FeatureSet(cache, SPEC).create({})
    with pytest.raises(SetError, match="no feature set identity; it has faces"):
        find_sets(cache)
    with pytest.raises(SetError, match=r"faces-.* is no set of identities.*--sets faces"):
        find_sets(cache, "faces")
    old = FeatureSet(cache, SetSpec("identity", {}, 1, upstream={"faces": "0" * 64})).create({})
    with pytest.raises(SetError, match="is no set of identities of faces as this avfuse"):
        find_sets(cache)
    current = FeatureSet(cache, IDENTITY).create({})
    assert find_sets(cache).identity.folder == current.folder != old.folder

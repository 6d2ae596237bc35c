"""Folds by the persons that faces tell apart, where a manifest names no speakers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from cache.manifest.manifest import Clip
from cache.persons import read_persons
from cache.sets.feature_set import FeatureSet
from tests.trainer.persons_helper import write_seen
from trainer.data.folds import SplitError, inner_split
from trainer.data.speakers import UNKNOWN, find_speakers
from trainer.data.splits import plan_folds


def write(
    cache: Path, seen: Mapping[str, Mapping[str, float]], *pairs: tuple[str, str]
) -> list[Clip]:
    """Write the table; returns the clips, which the manifest gives no speaker."""
    write_seen(cache, seen, *pairs)
    return [Clip(clip, Path(f"/{clip}.mp4"), "ab"[n % 2]) for n, clip in enumerate(seen)]


def speakers(cache: Path, clips: list[Clip]) -> list[str | None]:
    found = find_speakers(cache, clips)
    assert found is not None
    return [clip.speaker for clip in found[0]]


def test_clips_that_share_a_person_are_one_group_whoever_speaks(tmp_path: Path) -> None:
    seen = {"a": {"Ann": 1.0}, "b": {"Bob": 1.0, "Ann": 0.1}, "c": {"Bob": 1.0}, "d": {"Cid": 1.0}}
    clips = write(tmp_path, seen)
    assert speakers(tmp_path, clips) == ["Ann", "Ann", "Ann", "Cid"]


def test_who_is_hardly_seen_in_a_clip_does_not_count_there(tmp_path: Path) -> None:
    clips = write(tmp_path, {"a": {"Ann": 1.0}, "b": {"Bob": 1.0, "Ann": 0.09}})
    assert speakers(tmp_path, clips) == ["Ann", "Bob"]


def test_persons_who_may_be_one_are_kept_together(tmp_path: Path) -> None:
    seen = {f"c{n}": {f"P{n}": 1.0} for n in range(10)}
    clips = write(tmp_path, seen, ("P1", "P2"))
    expected = ["P0", "P1", "P1", *(f"P{n}" for n in range(3, 10))]
    assert speakers(tmp_path, clips) == expected


def test_resemblances_join_no_more_than_a_fifth_of_the_clips_and_the_rest_is_told(
    tmp_path: Path,
) -> None:
    seen = {f"c{n}": {f"P{n}": 1.0} for n in range(10)}
    clips = write(tmp_path, seen, ("P0", "P1"), ("P1", "P2"), ("P0", "P2"), ("P3", "P4"))
    found = find_speakers(tmp_path, clips)
    assert found is not None
    assert [clip.speaker for clip in found[0]][:5] == ["P0", "P0", "P2", "P3", "P3"]
    assert found[1].doubtful == 2
    assert "2 pairs of persons who may be one are not kept together, as more than 20%" in (
        found[1].describe()
    )


def test_speakers_of_the_manifest_keep_clips_together_too(tmp_path: Path) -> None:
    clips = write(tmp_path, {"a": {"Ann": 1.0}, "b": {"p-b-0": 1.0}, "c": {"p-c-0": 1.0}, "d": {}})
    named = [replace(clip, speaker="Ann" if clip.id in "bd" else None) for clip in clips]
    assert speakers(tmp_path, named) == ["Ann", "Ann", "p-c-0", "Ann"]


def test_clips_of_nobody_known_are_one_group_and_told(tmp_path: Path) -> None:
    seen: dict[str, dict[str, float]] = {f"c{n}": {f"P{n}": 1.0} for n in range(8)}
    clips = write(tmp_path, {**seen, "x": {}, "y": {"Eve": 0.05}})
    found = find_speakers(tmp_path, clips)
    assert found is not None
    assert [clip.speaker for clip in found[0]][-2:] == [UNKNOWN, UNKNOWN]
    facts = found[1]
    assert (facts.clips, facts.proposed, facts.groups, facts.largest) == (10, 9, 9, 2)
    assert facts.unknown == ("x", "y")
    text = facts.describe()
    assert "9 of 10 clips with a speaker, median confidence 0.50" in text
    assert "2 clips without a known person are kept together: x, y" in text


def test_too_many_clips_of_nobody_known_are_refused(tmp_path: Path) -> None:
    clips = write(tmp_path, {"a": {"Ann": 1.0}, "b": {"Bob": 1.0}, "c": {"Cid": 1.0}, "x": {}})
    with pytest.raises(SplitError, match=r"in 1 of 4 labelled clips nobody is known.*: x; fill"):
        find_speakers(tmp_path, clips)
    new = Clip("new", Path("/new.mp4"), "a")
    with pytest.raises(SplitError, match=r"in 2 of 5 .*: x, new; 1 of them are yet to be extr"):
        find_speakers(tmp_path, [*clips, new])


def test_a_row_of_another_entry_is_refused_by_name(tmp_path: Path) -> None:
    clips = write(tmp_path, {"a": {"Ann": 1.0}, "b": {"Bob": 1.0}})
    (made,) = (path for path in tmp_path.iterdir() if path.is_dir())
    FeatureSet.open(made).entry_path("b").unlink()
    with pytest.raises(SplitError, match=r"1 clip changed.*: b \(its entry in .* was removed"):
        plan_folds(clips, folds="speaker:2", cache=tmp_path)


def test_folds_by_speaker_fall_back_on_faces_and_say_so(tmp_path: Path) -> None:
    seen = {f"c{n}": {f"P{n // 4}": 1.0} for n in range(24)}
    seen["c23"] = {"P5": 1.0, "P4": 1.0}
    clips = write(tmp_path, seen)
    plan = plan_folds(clips, folds="speaker:5", cache=tmp_path)
    assert [len(fold.test) for fold in plan.folds] == [4, 4, 4, 4, 8]
    assert plan.speaker_independent == "by faces"
    assert plan.by_faces is not None
    assert plan.warnings[0] == plan.by_faces.describe()
    for fold in plan.folds:
        train, held = inner_split(fold.train, 0.25)
        assert not {clip.speaker for clip in train} & {clip.speaker for clip in held}
    assert len(plan_folds(clips, folds="speaker:all", cache=tmp_path).folds) == 5
    with pytest.raises(SplitError, match="there are 5 speakers, fewer than the 6 folds"):
        plan_folds(clips, folds="speaker:6", cache=tmp_path)


def test_a_manifest_that_names_all_speakers_is_taken_at_its_word(tmp_path: Path) -> None:
    clips = write(tmp_path, {f"c{n}": {"Ann": 1.0} for n in range(4)})
    named = [replace(clip, speaker=f"s{n // 2}") for n, clip in enumerate(clips)]
    plan = plan_folds(named, folds="speaker:2", cache=tmp_path)
    assert plan == plan_folds(named, folds="speaker:2")
    assert (plan.speaker_independent, plan.by_faces) == (True, None)


def test_speakers_that_are_proposals_by_faces_are_looked_up_again(tmp_path: Path) -> None:
    seen = {f"c{n}": {f"P{n}": 1.0} for n in range(24)}
    seen["c1"] = {"P1": 0.6, "P0": 0.4}
    clips = write(tmp_path, seen)
    proposed = [
        replace(clip, speaker=f"P{n}", speaker_confidence=0.5) for n, clip in enumerate(clips)
    ]
    plan = plan_folds(proposed, folds="speaker:4", cache=tmp_path)
    assert plan.speaker_independent == "by faces"
    for fold in plan.folds:  # somebody else is seen there too
        assert len({"c0", "c1"} & {clip.id for clip in fold.test}) in (0, 2)
    nowhere = tmp_path / "no-table"
    for cache in (nowhere, None):
        with pytest.raises(SplitError, match=r"of 24 of 24 .* are proposals by faces.*c0, c1"):
            plan_folds(proposed, folds="speaker:4", cache=cache)


def test_splits_by_proposed_speakers_are_by_faces(tmp_path: Path) -> None:
    clips = [
        Clip(f"c{n}", Path(f"/c{n}.mp4"), "ab"[n % 2], ["train", "test"][n // 2], f"s{n // 2}")
        for n in range(4)
    ]
    assert plan_folds(clips).speaker_independent is True
    plan = plan_folds([replace(clips[0], speaker_confidence=0.9), *clips[1:]])
    assert plan.speaker_independent == "by faces"
    assert plan.warnings[0].startswith("speakers are proposals by faces")


def test_a_person_on_both_sides_of_a_division_that_names_no_speakers_is_told(
    tmp_path: Path,
) -> None:
    seen = {"c0": {"Ann": 0.1}, "c1": {"Bob": 1.0}, "c2": {"Ann": 1.0}, "c3": {"Bob": 0.09}}
    clips = [
        replace(clip, split=["train", "test"][n // 2])
        for n, clip in enumerate(write(tmp_path, seen))
    ]
    assert plan_folds(clips).speaker_independent is None
    plan = plan_folds(clips, cache=tmp_path)
    assert (plan.speaker_independent, plan.shared_speakers) == (False, ("Ann",))
    assert "training and test clips (Ann)" in plan.warnings[0].replace("both ", "")
    proposed = [replace(c, speaker=f"s{c.split}", speaker_confidence=0.5) for c in clips]
    assert plan_folds(proposed, cache=tmp_path).shared_speakers == ("Ann",)
    stated = [replace(clip, speaker=f"s{clip.split}") for clip in clips]
    assert plan_folds(stated, cache=tmp_path).speaker_independent is True
    persons = read_persons(tmp_path)
    assert persons is not None
    FeatureSet.open(tmp_path / persons.set).entry_path("c2").unlink()  # the row is stale
    assert plan_folds(clips, cache=tmp_path).speaker_independent is None


def test_without_a_table_the_refusal_names_the_way_to_one(tmp_path: Path) -> None:
    clips = [Clip(name, Path(f"/{name}.mp4"), name) for name in "ab"]
    with pytest.raises(SplitError, match=r"have no speaker: a, b.*let 'avfuse persons' find"):
        plan_folds(clips, folds="speaker:2", cache=tmp_path)
    assert find_speakers(tmp_path, clips) is None

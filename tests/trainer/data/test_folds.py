"""Groups of clips for cross-validation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cache.manifest.manifest import Clip
from trainer.data.folds import SplitError, deal_by_label, group_clips, natural_key


def make(number: int, label: str, speaker: str | None = None, fold: int | None = None) -> Clip:
    return Clip(f"c{number:03}", Path(f"/c/{number}"), label, None, speaker, fold)


@pytest.mark.parametrize("name", ["{:02}", "{}", "actor {}"])
def test_24_speakers_in_6_folds_are_neighbours_in_natural_order(name: str) -> None:
    clips = [make(i, "ab"[i % 2], name.format(i % 24 + 1)) for i in range(48)]
    groups = group_clips(clips, "speaker:6", seed=0)
    for fold, members in groups.items():
        actors = {name.format(actor) for actor in range(4 * fold + 1, 4 * fold + 5)}
        assert {clip.speaker for clip in members} == actors
    assert list(groups) == [0, 1, 2, 3, 4, 5]


def test_speakers_that_do_not_divide_evenly_differ_by_one() -> None:
    clips = [make(i, "a", f"s{i}") for i in range(7)]
    assert [len(group) for group in group_clips(clips, "speaker:3", seed=0).values()] == [3, 2, 2]


def test_one_speaker_is_left_out_at_a_time() -> None:
    clips = [make(i, "a", f"s{i % 5}") for i in range(11)]
    groups = group_clips(clips, "speaker:all", seed=0)
    assert [{clip.speaker for clip in group} for group in groups.values()] == [
        {f"s{i}"} for i in range(5)
    ]


def test_folds_by_clip_spread_every_label() -> None:
    clips = [make(i, "aaab"[i % 4]) for i in range(40)]  # 30 of a, 10 of b
    for seed in (0, 1):
        for group in group_clips(clips, "clip:5", seed=seed).values():
            assert Counter(clip.label for clip in group) == {"a": 6, "b": 2}


def test_folds_by_clip_follow_the_seed() -> None:
    clips = [make(i, "ab"[i % 2]) for i in range(40)]
    assert group_clips(clips, "clip:5", seed=3) == group_clips(clips, "clip:5", seed=3)
    assert group_clips(clips, "clip:5", seed=3) != group_clips(clips, "clip:5", seed=4)


def test_rare_labels_do_not_pile_up_in_the_first_fold() -> None:
    clips = [make(i, f"label{i}") for i in range(7)]
    assert sorted(Counter(deal_by_label(clips, 3, 0)).values()) == [2, 2, 3]


def test_the_manifests_folds_are_taken_as_they_are() -> None:
    clips = [make(i, "a", fold=(2, 5)[i % 2]) for i in range(5)]
    groups = group_clips(clips, "manifest", seed=0)
    assert {fold: len(members) for fold, members in groups.items()} == {2: 3, 5: 2}


def test_folds_that_can_not_be_made_are_refused() -> None:
    clips = [make(i, "a", f"s{i % 3}") for i in range(7)]
    with pytest.raises(SplitError, match="3 speakers, fewer than the 5 folds"):
        group_clips(clips, "speaker:5", seed=0)
    with pytest.raises(SplitError, match="7 labelled clips, fewer than the 11 folds"):
        group_clips(clips, "clip:11", seed=0)
    with pytest.raises(SplitError, match="at least 2 folds, got 1"):
        group_clips(clips, "clip:1", seed=0)
    with pytest.raises(SplitError, match="1 speakers, fewer than the 2 folds"):
        group_clips([make(i, "a", "s") for i in range(3)], "speaker:all", seed=0)
    for text in ("actor:3", "speaker:", "clip:-2", "speaker:2.5", ""):
        with pytest.raises(SplitError, match="clip:K or manifest, got"):
            group_clips(clips, text, seed=0)


def test_clips_without_a_speaker_or_a_fold_are_named() -> None:
    clips = [make(0, "a", "s0", 0), make(1, "a", None, None), make(2, "a", "s1", 0)]
    with pytest.raises(SplitError, match="1 of 3 labelled clips have no speaker: c001;"):
        group_clips(clips, "speaker:2", seed=0)
    with pytest.raises(SplitError, match="1 of 3 labelled clips have no fold: c001;"):
        group_clips(clips, "manifest", seed=0)
    with pytest.raises(SplitError, match="has only fold 0; two are needed"):
        group_clips([clips[0], clips[2]], "manifest", seed=0)


def test_names_sort_by_their_numbers() -> None:
    assert sorted(["a10", "a2", "a02", "b1", "10", "9"], key=natural_key) == [
        "9",
        "10",
        "a02",
        "a2",
        "a10",
        "b1",
    ]

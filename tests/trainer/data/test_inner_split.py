"""Clips held out of training to choose the epoch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cache.manifest.manifest import Clip
from trainer.data.folds import SplitError, inner_split


def make(number: int, label: str, speaker: str | None = None) -> Clip:
    return Clip(f"c{number:03}", Path(f"/c/{number}"), label, "train", speaker)


def test_whole_speakers_are_held_out_where_they_are_known() -> None:
    clips = [make(i, "ab"[i // 10 % 2], f"s{i % 10}") for i in range(50)]
    inner, held = inner_split(clips, 0.3)
    assert len({clip.speaker for clip in held}) == 3
    assert not {clip.speaker for clip in inner} & {clip.speaker for clip in held}
    assert sorted([*inner, *held], key=lambda clip: clip.id) == clips


def test_clips_are_held_out_label_by_label_without_speakers() -> None:
    clips = [make(i, "aaab"[i % 4]) for i in range(40)]  # 30 of a, 10 of b
    for seed in range(5):
        inner, held = inner_split(clips, 0.2, seed=seed)
        assert Counter(clip.label for clip in held) == {"a": 6, "b": 2}
        assert len(inner) == 32


def test_a_single_speaker_is_divided_by_clip() -> None:
    clips = [make(i, "ab"[i % 2], "s") for i in range(20)]
    assert Counter(clip.label for clip in inner_split(clips, 0.2)[1]) == {"a": 2, "b": 2}


def test_the_inner_split_follows_the_seed_and_not_the_order() -> None:
    clips = [make(i, "ab"[i % 2], f"s{i % 11}") for i in range(44)]
    assert inner_split(clips, 0.2, seed=2) == inner_split(clips[::-1], 0.2, seed=2)
    assert len({inner_split(clips, 0.2, seed=seed)[1] for seed in range(5)}) > 1


def test_both_parts_always_have_a_clip() -> None:
    clips = [make(i, "ab"[i % 2], f"s{i // 2}") for i in range(4)]
    for fraction in (0.01, 0.99):
        inner, held = inner_split(clips, fraction)
        assert (len(inner), len(held)) == (2, 2)


def test_too_few_clips_for_an_inner_split_are_refused() -> None:
    with pytest.raises(SplitError, match="at least 2 training clips, got 1"):
        inner_split([make(0, "a")], 0.5)
    clips = [make(0, "a", "s0"), make(1, "a", "s0"), make(2, "a", "s1"), make(3, "a", "s1")]
    with pytest.raises(SplitError, match="leaves only the label 'a' to train on"):
        inner_split(clips, 0.5)

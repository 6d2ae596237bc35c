"""Folders of speakers with the emotions below, and a table of two columns, by their recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.index.ch_sims import index_ch_sims
from pipeline.index.enterface import index_enterface


def test_the_labels_of_enterface_are_emotions_and_its_speakers_subjects(faults: Path) -> None:
    clips = index_enterface(faults / "speaker-folders" / "enterface").clips
    assert [(clip.id, clip.label, clip.speaker) for clip in clips] == [
        ("s1_an_1", "anger", "subject 1"),
        ("s1_ha_1", "happiness", "subject 1"),
        ("s2_an_1", "anger", "subject 2"),
        ("s2_ha_1", "happiness", "subject 2"),
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_clips_of_ch_sims_are_found_by_two_columns(faults: Path, number: int) -> None:
    right = [
        ("Raw/video_0001/0001.mp4", "Negative", "train"),
        ("Raw/video_0001/0002.mp4", "Positive", "val"),
        ("Raw/video_0002/0001.mp4", "Neutral", "test"),
    ]
    folder = faults / "tables"
    clip = index_ch_sims(folder).clips[number]
    assert (clip.path.relative_to(folder).as_posix(), clip.label, clip.split) == right[number]

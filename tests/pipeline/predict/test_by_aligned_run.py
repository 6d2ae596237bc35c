"""A run on aligned voices, from RAVDESS' files to an answer about another one, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cache.manifest.manifest import read_manifest
from tests.pipeline.command import avfuse

ACTORS = ("01", "02")


@pytest.mark.slow
def test_a_run_on_aligned_voices_answers_about_another_take(data: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    # Both sentences of sad and angry, which are far apart, twice.
    names = [
        f"03-01-{emotion}-02-{sentence}-{repetition}-{actor}.flac"
        for actor in ACTORS
        for emotion in ("04", "05")
        for sentence in ("01", "02")
        for repetition in ("01", "02")
    ]
    for name in names:
        (corpus / name).symlink_to(data / "ravdess" / "speech" / name)
    manifest, cache, run = tmp_path / "m.csv", tmp_path / "cache", tmp_path / "run"
    for command in (
        ("index", "ravdess", corpus, "-o", manifest, "--follow-links"),
        ("extract", manifest, "--cache", cache, "--sets", "voice", "--jobs", "0"),
        ("train", manifest, "--cache", cache, "--run", run, "--folds", "speaker:2", "--preset",
         "svm", "--set", "fusion.kind=audio", "--set", "audio.set=voice",
         "--set", "audio.features=auto", "--set", "audio.align=sentence"),
    ):  # fmt: skip
        assert (result := avfuse(*command)).exit_code == 0, result.output
    assert {clip.sentence for clip in read_manifest(manifest).clips} == {
        "Kids are talking by the door",
        "Dogs are sitting by the door",
    }
    other = data / "ravdess" / "speech" / "03-01-05-02-02-01-03.flac"  # angry, of another actor
    result = avfuse("predict", run, other, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["videos"][0]["prediction"] == "angry"

"""A run trains on no entry that is stale, and counts those that it couldn't check."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cache.entries.source import read_source
from cache.manifest.manifest import Manifest
from cache.sets.feature_set import FeatureSet, find_set
from cache.sets.freshness import NOT_AT_HAND
from tests.trainer.experiment_helper import NUM_CLIPS, make_cache, make_clips, make_manifest, train
from trainer.data.corpus import StaleError
from trainer.runs.ensemble import ensemble_runs
from trainer.runs.report import evaluate_run
from trainer.runs.terminal import format_report

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def made(tmp_path: Path) -> Manifest:
    """A corpus whose files are at hand, each of its own content, and its cache."""
    clips = make_clips(tmp_path)
    cache = make_cache(tmp_path / "cache", clips)
    for name in ("resnet18", "spectrogram"):
        feature_set = find_set(cache, name)
        for clip in clips:
            clip.path.write_bytes(clip.id.encode())
            rewrite(feature_set, clip.id, clip.path)
    return make_manifest(tmp_path, clips)


def rewrite(feature_set: FeatureSet, clip: str, path: Path) -> None:
    """Write an entry again as made from a file."""
    entry = feature_set.read(clip)
    with feature_set.writer(clip, source=read_source(path), provenance={}) as writer:
        writer.append(**entry.arrays)
        writer.finish()


def cache_of(manifest: Manifest) -> Path:
    return manifest.path.parent / "cache"


def test_a_run_whose_files_are_at_hand_has_nothing_unchecked(
    made: Manifest, tmp_path: Path
) -> None:
    run = train(made, cache_of(made), tmp_path / "run")
    assert run.info["unchecked"] == {}
    assert "not checked" not in format_report(run.metrics, name="run")


def test_replaced_videos_are_refused_by_name(made: Manifest, tmp_path: Path) -> None:
    for clip in made.clips[:10]:
        clip.path.write_bytes(b"another file")
    expected = (
        r"^the features of 10 clips are stale: c00, c01, .*c07 and 2 more "
        r"\(its file has changed\); run avfuse extract with the same manifest$"
    )
    with pytest.raises(StaleError, match=expected):
        train(made, cache_of(made), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_passed_off_for_one_of_the_files_that_are_there_now(
    made: Manifest, tmp_path: Path
) -> None:
    train(made, cache_of(made), tmp_path / "run")
    made.clips[3].path.write_bytes(b"another file")
    with pytest.raises(StaleError, match=r"of 1 clip are stale: c03 \(its file"):
        train(made, cache_of(made), tmp_path / "run")


def test_another_start_in_the_manifest_is_refused_also_without_the_files(
    made: Manifest, tmp_path: Path
) -> None:
    for clip in made.clips:
        clip.path.unlink()
    clips = [replace(clip, start_seconds=0.5) for clip in made.clips]
    changed = make_manifest(tmp_path, clips)
    with pytest.raises(StaleError, match=r"of 24 clips are stale: c00.*start or end in the"):
        train(changed, cache_of(made), tmp_path / "run")


def test_a_set_of_newer_files_beside_one_of_older_is_refused_without_the_files(
    made: Manifest, tmp_path: Path
) -> None:
    path = made.clips[5].path
    path.write_bytes(b"another file")
    rewrite(find_set(cache_of(made), "resnet18"), "c05", path)
    path.unlink()
    with pytest.raises(StaleError, match=r"c05 \(resnet18 and spectrogram are of different files"):
        train(made, cache_of(made), tmp_path / "run")


def test_clips_whose_files_are_elsewhere_are_counted_and_told_of(
    made: Manifest, tmp_path: Path
) -> None:
    for clip in made.clips[:7]:
        clip.path.unlink()
    line = f"not checked for newer files: 7 clips ({NOT_AT_HAND})"
    run = train(made, cache_of(made), tmp_path / "run")
    assert run.info["unchecked"] == {NOT_AT_HAND: 7}
    assert json.loads((run.path / "metrics.json").read_text())["unchecked"] == {NOT_AT_HAND: 7}
    assert line in format_report(evaluate_run(run), name="run")
    for clip in made.clips:
        clip.path.unlink(missing_ok=True)
    other = train(made, cache_of(made), tmp_path / "other", overrides=["seed=5"])
    report = ensemble_runs([run.path, other.path], tmp_path / "both")
    assert report["unchecked"] == {NOT_AT_HAND: NUM_CLIPS}

"""Whose faces avfuse inspect faces shows: other sets, another choice, and caches that hold none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetSpec
from pipeline.faces.tracks import BoxSource
from tests.pipeline.known_faces import SPEC, see, write_clip, write_table
from tests.pipeline.sheets import LARGE, SMALL, STEADY, TWO, inspect, show


def test_a_policy_and_overrides_can_be_tried_without_extracting(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "cache", tmp_path / "two.mp4", TWO)
    assert "seen in 7 (detect 7), followed in none;" in show([clip], tmp_path)  # the larger one
    table = tmp_path / "by_hand.csv"
    table.write_text("clip,start_seconds,end_seconds,track,box\ntwo,,0.1,1,\n")
    text = show([clip], tmp_path, "--overrides", str(table))
    assert "seen in 4 (detect 4), followed in 3 (follow 3);" in text
    table.write_text("clip,start_seconds,end_seconds,track,box\ntwo,,,,3 5 44 47\n")
    assert "seen in 7 (given 7), followed in none;" in show(
        [clip], tmp_path, "--overrides", str(table)
    )
    table.write_text("clip,start_seconds,end_seconds,track,box\ntwo,,,5,\n")
    text = show([clip], tmp_path, "--overrides", str(table), ok=False)
    assert "an override names track 5, and this clip has the tracks 0, 1" in text
    table.write_text("clip,start_seconds,end_seconds,track,box\nnobody,,,1,\n")
    manifest = write_table(tmp_path, [clip])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "s.png", "--overrides", str(table))
    assert result.exit_code == 2
    assert "no clip 'nobody'" in result.stderr
    late = [see(frame, 1, LARGE) for frame in range(5, 7)]
    early = [see(0, 0, SMALL), *(see(frame, 0, SMALL, BoxSource.HOLD) for frame in range(1, 7))]
    clip = write_clip(tmp_path / "cache", tmp_path / "late.mp4", [*early, *late])
    assert "seen in 3 (detect 3), followed in 4 (hold 4);" in show([clip], tmp_path)
    text = show([clip], tmp_path, "--policy", "first")
    assert "seen in 1 (detect 1), followed in 6 (hold 6);" in text


def network(faces_key: str) -> SetSpec:
    settings = {"crops": {"size": 64, "align": "box"}, "policy": "first"}
    return SetSpec("resnet18", settings, 1, upstream={"faces": faces_key}, untrained=True)


def test_a_networks_set_shows_the_faces_that_it_was_given(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    late = [see(frame, 1, LARGE) for frame in range(5, 7)]
    early = [see(0, 0, SMALL), *(see(frame, 0, SMALL, BoxSource.HOLD) for frame in range(1, 7))]
    clip = write_clip(cache, tmp_path / "late.mp4", [*early, *late])
    features = FeatureSet(cache, network(SPEC.key)).create({})
    by_hand: list[dict[str, Any]] = [
        {"start_seconds": None, "end_seconds": 0.1, "track": None, "box": [1, 2, 44, 47]}
    ]
    upstream = {"faces": FeatureSet(cache, SPEC).read("late").identity}
    with features.writer(
        "late", source=read_source(clip.path), provenance={}, upstream=upstream
    ) as writer:
        writer.append(times=np.arange(7) / 25)
        writer.finish(attributes={"by_hand": by_hand})
    text = show([clip], tmp_path, "resnet18")
    assert "seen in 3 (given 3), followed in 4 (hold 4);" in text


def test_sets_that_cannot_be_shown_are_refused_with_what_to_do(
    tmp_path: Path, steady: Clip
) -> None:
    cache, manifest = tmp_path / "cache", write_table(tmp_path, [steady])
    FeatureSet(cache, SetSpec("spectrogram", {}, 1)).create({})
    FeatureSet(cache, network("0" * 64)).create({})
    for name, answer in {
        "spectrogram": "is not made from faces",
        "resnet18": "is made from faces-0000000000000000, which the cache no longer has; run",
        "ir50": "has no feature set ir50",
    }.items():
        result = inspect(manifest, cache, tmp_path / "s.png", name)
        assert result.exit_code == 2
        assert answer in result.stderr
    FeatureSet(cache, replace(SPEC, settings={"other": 1})).create({})
    result = inspect(manifest, cache, tmp_path / "s.png")
    assert "has 2 sets faces" in result.stderr
    result = inspect(manifest, cache, tmp_path / "s.png", SPEC.folder)
    assert result.exit_code == 0, result.output


def test_faces_of_another_version_are_stale_and_refused(tmp_path: Path) -> None:
    old = replace(SPEC, version=SPEC.version - 1)
    clip = write_clip(tmp_path / "cache", tmp_path / "a.mp4", STEADY, spec=old)
    manifest = write_table(tmp_path, [clip])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "s.png")
    assert result.exit_code == 2
    assert "is stale: its faces were found by version" in result.stderr
    assert "avfuse extract" in result.stderr
    write_clip(tmp_path / "cache", tmp_path / "a.mp4", STEADY)  # beside it, the current one
    assert inspect(manifest, tmp_path / "cache", tmp_path / "s.png").exit_code == 0


def test_a_cache_without_faces_is_refused_with_what_to_do(tmp_path: Path, steady: Clip) -> None:
    manifest = write_table(tmp_path, [steady])
    FeatureSet(tmp_path / "sounds", SetSpec("logmel", {}, 1)).create({})
    result = inspect(manifest, tmp_path / "sounds", tmp_path / "s.png")
    assert result.exit_code == 2
    assert "has no faces; it has logmel-" in result.stderr
    assert "--sets faces' first" in result.stderr
    result = inspect(manifest, tmp_path / "nowhere", tmp_path / "s.png")
    assert result.exit_code == 2
    assert "nowhere does not exist" in result.stderr


def test_a_manifest_of_other_clips_is_refused_with_what_to_do(tmp_path: Path, steady: Clip) -> None:
    manifest = write_table(tmp_path, [Clip("other", steady.path)])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "s.png")
    assert result.exit_code == 2
    assert "none of the 1 clips has an entry" in result.stderr
    assert "avfuse extract" in result.stderr

"""Another policy, or a choice by hand, through the command line: crops anew, never a detection."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import pipeline.faces.detect
import pipeline.faces.regions
from cache.entries.entry import Entry, read_entry_header
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.sets.feature_set import FeatureSet, find_set, list_sets
from pipeline.cli import main
from pipeline.faces.tracks import BoxSource
from tests.conftest import SMALL
from tests.pipeline.scenes import background, place
from tests.pipeline.videos import write_video

CENTRAL, LARGE = (155, 120), (260, 90)


class Calls:
    """Counts how often dlib's detector is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.num = 0
        real = pipeline.faces.detect.hog

        def hog(levels: int = 0) -> object:
            self.num += 1
            return real(levels)

        monkeypatch.setattr(pipeline.faces.detect, "hog", hog)
        monkeypatch.setattr(pipeline.faces.regions, "hog", hog)

    def take(self) -> int:
        num, self.num = self.num, 0
        return num


@pytest.fixture
def detections(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two clips with a large face to the right and a small one in the centre."""
    clips = []
    for name, seed in (("a", 1), ("b", 2)):
        image = place(place(background(240, 320, seed), CENTRAL, 50), LARGE, 80)
        path = tmp_path / f"{name}.mp4"
        write_video(path, [image] * 3, codec="mpeg4", rate=10)
        clips.append(Clip(name, path))
    write_manifest(tmp_path / "m.csv", clips)
    return tmp_path / "m.csv"


def extract(manifest: Path, *arguments: str, sets: str = "resnet18") -> Result:
    weights = SMALL if sets == "resnet18" else ()
    return CliRunner().invoke(main, [
        "extract", str(manifest), "--cache", str(manifest.parent / "cache"), "--sets", sets,
        "--jobs", "0", *weights, *(("--views", "basic") if weights else ()), *arguments,
    ])  # fmt: skip


def overrides(manifest: Path, *rows: str) -> tuple[str, str]:
    path = manifest.parent / "overrides.csv"
    path.write_text("\n".join(["clip,start_seconds,end_seconds,track,box", *rows]) + "\n")
    return "--overrides", str(path)


def network(manifest: Path, clip: str, policy: str = "largest") -> Entry:
    sets = list_sets(manifest.parent / "cache")
    (found,) = (s for s in sets if s.spec.settings.get("policy") == policy)
    return found.read(clip, verify=True)


@pytest.mark.slow
def test_another_policy_makes_other_features_and_detects_nothing(
    manifest: Path, detections: Calls
) -> None:
    assert extract(manifest).exit_code == 0
    assert detections.take() > 0
    faces = find_set(manifest.parent / "cache", "faces")
    before = {path: path.stat().st_mtime_ns for path in faces.entry_paths()}
    for policy in ("central", "longest", "first"):
        assert extract(manifest, "--set", f"faces.policy={policy}").exit_code == 0
    assert detections.take() == 0
    assert {path: path.stat().st_mtime_ns for path in faces.entry_paths()} == before
    largest, central = (network(manifest, "a", policy) for policy in ("largest", "central"))
    assert largest["track"].tolist() != central["track"].tolist()
    assert not np.allclose(largest["basic"], central["basic"])
    chosen = faces.read("a")
    for entry, middle in ((largest, LARGE), (central, CENTRAL)):
        rows = chosen["tracks/number"] == entry["track"][0]
        box = chosen["tracks/box"][rows][0]
        assert np.hypot(*((box[:2] + box[2:]) / 2 - middle)) < 15


@pytest.mark.slow
def test_an_override_makes_its_own_clip_anew_and_detects_nothing(
    manifest: Path, detections: Calls
) -> None:
    extract(manifest)
    detections.take()
    plain = {clip: network(manifest, clip) for clip in "ab"}
    other = 1 - int(plain["a"]["track"][0])
    by_hand = overrides(manifest, f"a,,0.15,{other},")
    assert "1 computed now, 1 unchanged" in extract(manifest, *by_hand).output
    changed = network(manifest, "a")
    assert changed["track"].tolist() == [other, other, 1 - other]
    assert not np.allclose(changed["basic"][0], plain["a"]["basic"][0])
    assert np.allclose(changed["basic"][2], plain["a"]["basic"][2])
    assert changed.attributes["by_hand"] == [
        {"start_seconds": None, "end_seconds": 0.15, "track": other, "box": None}
    ]
    assert network(manifest, "b").checksums == plain["b"].checksums
    assert "0 computed now, 2 unchanged" in extract(manifest, *by_hand).output
    # Another content of the table, then none: that clip again, each time.
    by_hand = overrides(manifest, f"a,,0.25,{other},")
    assert "1 computed now, 1 unchanged" in extract(manifest, *by_hand).output
    assert "1 computed now, 1 unchanged" in extract(manifest).output
    assert network(manifest, "a").checksums == plain["a"].checksums
    assert detections.take() == 0


@pytest.mark.slow
def test_a_box_by_hand_is_cropped_and_a_track_that_is_absent_leaves_the_frame_whole(
    manifest: Path,
) -> None:
    extract(manifest, *overrides(manifest, 'a,,0.15,,"130 95 180 145"'))
    entry = network(manifest, "a")
    assert entry["rung"][:2].tolist() == [BoxSource.GIVEN] * 2
    assert entry["track"][:2].tolist() == [-1, -1]
    central = extract(manifest, "--set", "faces.policy=central")
    assert central.exit_code == 0
    plain = network(manifest, "a", "central")
    one, other = entry["basic"][0], plain["basic"][0]
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.98


@pytest.mark.slow
def test_an_override_of_a_missing_clip_is_wrong_use_also_in_a_shard(manifest: Path) -> None:
    result = extract(manifest, *overrides(manifest, "c,,,0,", "a,,,0,"))
    assert result.exit_code == 2
    assert "line 2: no clip 'c' in the manifest" in result.output
    assert not (manifest.parent / "cache").exists()
    result = extract(manifest, *overrides(manifest, "a,,,0,"), "--shard", "2/2")
    assert result.exit_code == 0


@pytest.mark.slow
def test_an_override_of_a_missing_track_fails_its_clip_until_it_is_mended(
    manifest: Path, detections: Calls
) -> None:
    extract(manifest)
    detections.take()
    wrong = overrides(manifest, "a,,,7,")
    for _ in range(2):
        result = extract(manifest, *wrong)
        assert result.exit_code == 1
        assert "failed: a: an override names track 7, and this clip has the tracks 0, 1" in (
            result.output
        )
    # Features of another face must not be trained on.
    assert find_set(manifest.parent / "cache", "resnet18").clip_ids() == ["b"]
    assert extract(manifest, *overrides(manifest, "a,,,0,")).exit_code == 0
    assert extract(manifest).exit_code == 0
    assert detections.take() == 0


@pytest.mark.parametrize("sets", ["spectrogram", "faces"])
def test_overrides_without_a_network_are_wrong_use(manifest: Path, sets: str) -> None:
    result = extract(manifest, *overrides(manifest, "a,,,0,"), sets=sets)
    assert result.exit_code == 2
    assert f"no network is among --sets {sets}" in result.output


@pytest.mark.slow
def test_coverage_is_in_the_headers_the_report_and_the_summary(manifest: Path) -> None:
    result = extract(manifest)
    assert "6 of 6 frames with a face (100.0%): seen in 6 (detect 6), followed in" in result.output
    result = extract(manifest, *overrides(manifest, "b,0.05,,,", 'b,0.05,,,"9 9 9 9"'))
    assert result.exit_code == 2
    report = json.loads((manifest.parent / "cache" / "extract-report.json").read_text())
    assert report["coverage"]["frames_with_face"] == report["coverage"]["frames"] == 6
    assert report["clips"][0]["frames"] == {"detect": 3}
    assert (report["clips"][0]["frames_seen"], report["clips"][0]["frames_followed"]) == (3, 0)
    assert report["clips"][0]["longest_gap_seconds"] == 0.0
    for item in list_sets(manifest.parent / "cache"):
        if item.spec.name == "identity":
            continue  # has no row a frame
        header = read_entry_header(FeatureSet.open(item.folder).entry_path("a"))
        assert header.facts["coverage"]["rungs"] == {"detect": 3}

"""The commands that issue 2 gives, as written, on the real clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import find_set
from pipeline.faces.tracks import BoxSource
from tests.pipeline.command import avfuse


@pytest.fixture(scope="module")
def work(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest and cache of the 20 labelled clips: all frames, one view to save time."""
    folder = tmp_path_factory.mktemp("real")
    indexed = avfuse("index", "csv", data / "clips" / "labelled.csv", "-o", folder / "m.csv")
    if indexed.exit_code != 0:
        pytest.fail(indexed.output)
    extracted = avfuse(
        *("extract", folder / "m.csv", "--cache", folder / "c", "--sets"),
        *("faces,resnet18,spectrogram", "--jobs", "2"),
        *("--views", "basic", "--set", "network.image_size=64"),
    )
    if extracted.exit_code != 0:
        pytest.fail(extracted.output)
    return folder


@pytest.mark.slow
def test_the_twenty_labelled_clips_become_whole_entries(work: Path) -> None:
    clips = read_manifest(work / "m.csv").clips
    assert len(clips) == 20
    faces = find_set(work / "c", "faces")
    for clip in clips:
        entry = faces.read(clip.id, ("rung",))
        share = float(np.mean(entry.arrays["rung"] != BoxSource.WHOLE))
        print(f"{clip.id}: {len(entry.arrays['rung'])} frames, {share:.0%} with a face")
    assert avfuse("cache", "verify", work / "c").exit_code == 0
    status = json.loads(avfuse("cache", "status", work / "c", "--json").stdout)
    assert {item["name"]: item["ok"] + item["partial"] for item in status["sets"]} == {
        "faces": 20,
        "identity": 20,
        "resnet18": 20,
        "spectrogram": 20,
    }


@pytest.mark.slow
def test_heads_train_on_them_and_predict_another_clip(work: Path, data: Path) -> None:
    trained = avfuse(
        *("train", work / "m.csv", "--cache", work / "c", "--preset", "icmi19"),
        *("--run", work / "r", "--set", "video.set=resnet18", "--folds", "clip:5"),
        *("--set", "optim.epochs=1", "--set", "optim.batch_size=4"),  # less memory, the same way
    )
    assert trained.exit_code == 0, trained.output
    assert "not speaker-independent" in trained.output
    assert "worried" in trained.output
    predicted = avfuse("predict", work / "r", data / "clips" / "faces" / "talk_5s.mp4")
    answer = json.loads(predicted.stdout)
    assert answer["heads"] == 5
    assert answer["untrained"] is False
    assert len(answer["videos"][0]["attention"]["video"]) == 125


@pytest.mark.slow
def test_audio_heads_train_on_ravdess_whose_speakers_come_from_the_names(
    data: Path, tmp_path: Path
) -> None:
    indexed = avfuse("index", "ravdess", data / "ravdess" / "speech", "-o", tmp_path / "rav.csv")
    assert indexed.exit_code == 0, indexed.output
    lines = (tmp_path / "rav.csv").read_text().splitlines()
    manifest = read_manifest(tmp_path / "rav.csv")
    assert set(manifest.speakers) == {str(number) for number in range(1, 25)}
    # Three takes a speaker and few epochs are enough to see that it works.
    small = tmp_path / "small.csv"
    kept = [clip for clip in manifest.clips if clip.id.endswith(("01-01-01", "01-01-02"))]
    ids = {clip.id for clip in kept} | {
        clip.id for clip in manifest.clips if clip.id.split("-")[2] in ("05", "06")
    }
    rows = [line for line in lines[1:] if line.split(",")[0] in ids]
    rows = [row for row in rows if row.split(",")[0].split("-")[3:6] == ["01", "01", "01"]]
    small.write_text("\n".join([lines[0], *rows]) + "\n")
    cache = tmp_path / "c"
    assert avfuse("extract", small, "--cache", cache, "--sets", "logmel").exit_code == 0
    trained = avfuse(
        *("train", small, "--cache", cache, "--run", tmp_path / "r", "--folds", "speaker:3"),
        *("--set", "fusion.kind=audio", "--set", "audio.set=logmel", "--set", "optim.epochs=1"),
    )
    assert trained.exit_code == 0, trained.output
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert metrics

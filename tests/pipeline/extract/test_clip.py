"""Stage one end to end, on generated and real clips, through the command line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest, write_manifest
from cache.sets.feature_set import FeatureSet, find_set
from cache.settings import settings_from
from extractors.running.face_network import load_face_network
from extractors.running.settings import NetworkSettings
from pipeline.choice.choice import choose_faces
from pipeline.cli import main
from pipeline.extract.summary import format_shares
from pipeline.faces.crops import crop_faces
from pipeline.faces.settings import CropSettings
from pipeline.faces.tracks import BoxSource, read_tracks
from pipeline.media.frames import VideoReader
from tests.pipeline.extracting import EXTRACT, entries, extract, report, write_tone


def test_every_clip_gets_every_set_and_the_arrays_fit_together(
    corpus: Path, extracted: Path
) -> None:
    for clip in read_manifest(corpus).clips:
        faces = find_set(extracted, "faces").read(clip.id, verify=True)
        network = find_set(extracted, "resnet18").read(clip.id, verify=True)
        sound = find_set(extracted, "spectrogram").read(clip.id, verify=True)
        assert faces.state == network.state == sound.state == "ok"
        assert np.allclose(faces.arrays["times"], np.arange(20) / 12, atol=1e-3)
        assert np.array_equal(network.arrays["times"], faces.arrays["times"])
        assert network.arrays["basic"].shape == (20, 512)
        assert set(network.arrays) == {"times", "rung", "track", "basic"}
        assert sound.arrays["spectrogram"].shape[1] == 200
        assert faces.attributes["frame_size"] == [288, 352]
    assert find_set(extracted, "resnet18").spec.untrained
    assert not find_set(extracted, "faces").spec.untrained


def test_the_steps_of_a_clip_add_up_to_its_seconds_and_those_of_all_to_the_runs(
    extracted: Path,
) -> None:
    whole = json.loads((extracted / "extract-report.json").read_text())
    steps = {"load", "decode", "faces", "crops", "network", "sound", "commit", "other"}
    for row in whole["clips"]:
        assert row["seconds_by_step"].keys() == steps
        assert sum(row["seconds_by_step"].values()) == pytest.approx(row["seconds"], abs=0.01)
        assert row["seconds_by_step"]["faces"] > row["seconds_by_step"]["crops"] > 0
    total = whole["seconds_by_step"]
    assert list(total.values()) == sorted(total.values(), reverse=True)
    for step in steps:
        added = sum(row["seconds_by_step"][step] for row in whole["clips"])
        assert total[step] == pytest.approx(added, abs=0.01)
    assert whole["consumer_seconds"] is None


def test_shares_of_the_time_are_written_from_the_largest_on() -> None:
    seconds = {"decode": 2.0, "faces": 13.0, "commit": 0.04, "network": 4.96}
    assert format_shares(seconds) == "faces 65%, network 25%, decode 10%"


@pytest.mark.slow
def test_an_entry_holds_what_its_parts_yield_one_after_another(
    corpus: Path, extracted: Path
) -> None:
    clip = read_manifest(corpus).clips[0]
    faces = choose_faces(read_tracks(find_set(extracted, "faces").read(clip.id)), "largest")
    (frames,) = VideoReader(clip.path)
    crops = crop_faces(frames.images, faces.landmarks, faces.box, faces.rung, CropSettings())
    basic = {"rotations": [0.0], "scales": [1.0], "flip": False}
    settings = settings_from(NetworkSettings, {"image_size": 64, "views": basic})
    network = load_face_network("resnet18", None, settings)
    stored = find_set(extracted, "resnet18").read(clip.id).arrays["basic"]
    expected = network.extract(crops)["basic"]
    # The worker computes on one thread, this test on all: the order of summation differs.
    assert np.abs(stored - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.slow
def test_a_second_run_computes_nothing_and_a_touched_file_stays_trusted(
    small: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert extract(small, cache).exit_code == 0
    before = entries(cache)
    for clip in read_manifest(small).clips:
        os.utime(clip.path)
    again = extract(small, cache)
    assert again.exit_code == 0
    assert "0 computed now, 2 unchanged" in again.output
    assert entries(cache) == before


@pytest.mark.slow
def test_a_changed_video_recomputes_its_own_entries_only(small: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    extract(small, cache)
    before = entries(cache)
    first, second = read_manifest(small).clips
    shutil.copy(second.path, first.path)
    assert "1 computed now, 1 unchanged" in extract(small, cache).output
    after = entries(cache)
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {path for path in before if f"/{first.id}.h5" in path}


@pytest.mark.slow
def test_another_crop_recomputes_the_network_and_detects_nothing_again(
    small: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    extract(small, cache)
    before = entries(cache)
    extract(small, cache, "--set", "crops.extend=0.5")
    after = entries(cache)
    assert {path: after[path] for path in before} == before
    new = {path.split("-")[0] for path in after.keys() - before.keys()}
    assert new == {"resnet18"}


@pytest.mark.slow
def test_workers_yield_the_same_bytes_as_one_process(small: Path, tmp_path: Path) -> None:
    arguments = ["extract", str(small), *EXTRACT]
    for jobs in ("1", "2"):
        command = [*arguments, "--cache", str(tmp_path / jobs), "--jobs", jobs]
        assert CliRunner().invoke(main, command).exit_code == 0
    for clip in read_manifest(small).clips:
        for name in ("faces", "resnet18", "spectrogram"):
            one, two = (find_set(tmp_path / jobs, name).read(clip.id) for jobs in "12")
            assert one.checksums == two.checksums


@pytest.mark.slow
def test_part_of_a_file_is_a_clip_of_its_own(small: Path, tmp_path: Path) -> None:
    clip = read_manifest(small).clips[0]
    write_manifest(
        tmp_path / "cut.csv",
        [Clip("cut", clip.path, start_seconds=0.5, end_seconds=1.0), Clip("all", clip.path)],
    )
    cache = tmp_path / "cache"
    assert extract(tmp_path / "cut.csv", cache).exit_code == 0
    cut, whole = (find_set(cache, "faces").read(name).arrays for name in ("cut", "all"))
    assert np.allclose(cut["times"], np.arange(6) / 12, atol=1e-3)
    # Regions are scanned round where the face was before, so that boxes may differ by a little.
    points = [arrays["tracks/landmarks"] for arrays in (cut, whole)]
    assert np.allclose(points[0][0], points[1][6], atol=3)
    assert not np.allclose(points[0][0], points[1][0], atol=3)


BROKEN = {
    "empty": (b"", "is empty (0 bytes)"),
    "text": (b"these are notes, not a video\n", "it looks like text"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    "noise": (bytes(range(256)) * 20, "not a video or sound file"),
}


@pytest.mark.slow
def test_broken_files_fail_with_reasons_and_the_others_are_done(
    small: Path, tmp_path: Path
) -> None:
    clips = list(read_manifest(small).clips)
    for name, (content, _) in BROKEN.items():
        path = tmp_path / "clips" / f"{name}.mp4"
        path.write_bytes(content)
        clips.append(Clip(name, path))
    write_manifest(tmp_path / "broken.csv", clips)
    cache = tmp_path / "cache"
    result = extract(tmp_path / "broken.csv", cache)
    assert result.exit_code == 1
    found = report(cache)
    assert [clip["state"] for clip in found.values()] == ["ok", "ok"] + ["failed"] * 4
    for name, (_, reason) in BROKEN.items():
        assert reason in str(found[name]["sets"])
        assert f"failed: {name}: " in result.stdout
        for set_name in ("faces", "resnet18", "spectrogram"):
            failure = find_set(cache, set_name).failure(name)
            assert failure is not None
            assert failure.stage == "open"


@pytest.mark.slow
def test_a_failure_is_not_tried_again_until_asked_or_until_the_file_changes(
    small: Path, tmp_path: Path
) -> None:
    good = read_manifest(small).clips[0].path
    path = tmp_path / "clips" / "bad.mp4"
    path.write_bytes(b"nothing")
    write_manifest(tmp_path / "bad.csv", [Clip("bad", path)])
    cache = tmp_path / "cache"
    assert extract(tmp_path / "bad.csv", cache).exit_code == 1
    again = extract(tmp_path / "bad.csv", cache)
    assert again.exit_code == 1
    assert "0 computed now, 1 unchanged" in again.output
    assert "1 computed now" in extract(tmp_path / "bad.csv", cache, "--retry-failed").output
    shutil.copy(good, path)
    mended = extract(tmp_path / "bad.csv", cache)
    assert mended.exit_code == 0
    assert find_set(cache, "faces").failure("bad") is None


@pytest.mark.slow
def test_sound_alone_is_partial_and_says_that_there_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    write_tone(path, seconds=1.0)
    write_manifest(tmp_path / "m.csv", [Clip("tone", path)])
    cache = tmp_path / "cache"
    assert extract(tmp_path / "m.csv", cache).exit_code == 0
    network = find_set(cache, "resnet18").read("tone")
    assert network.arrays["basic"].shape == (0, 512)
    assert (network.state, network.missing) == ("partial", ("no video stream",))
    assert find_set(cache, "spectrogram").read("tone").state == "ok"


@pytest.mark.parametrize(("seconds", "steps"), [(0.1, 7), (0.02, 0)])
def test_short_sound_has_the_steps_that_fit_and_says_when_none_do(
    seconds: float, steps: int, tmp_path: Path
) -> None:
    write_tone(tmp_path / "tone.wav", seconds)
    write_manifest(tmp_path / "m.csv", [Clip("tone", tmp_path / "tone.wav")])
    cache = tmp_path / "cache"
    extract(tmp_path / "m.csv", cache, "--sets", "spectrogram")
    entry = find_set(cache, "spectrogram").read("tone")
    assert entry.arrays["spectrogram"].shape == (steps, 200)
    if steps:
        assert entry.state == "ok"
    else:
        assert entry.missing == ("sound of 0.020 s is shorter than a window of 0.04 s",)


@pytest.mark.slow
def test_every_odd_file_ends_in_one_state_with_a_reason(data: Path, tmp_path: Path) -> None:
    files = sorted((data / "clips" / "odd").iterdir())
    # Enough of each to see what is odd about it; the long ones only cost time.
    clips = [Clip(path.stem, path, end_seconds=1.0) for path in files]
    write_manifest(tmp_path / "odd.csv", clips)
    cache = tmp_path / "cache"
    result = extract(tmp_path / "odd.csv", cache, "--jobs", "2")
    found = report(cache)
    assert sorted(found) == sorted(path.stem for path in files)
    states = {clip: entry["state"] for clip, entry in found.items()}
    assert result.exit_code == (1 if "failed" in states.values() else 0), result.output
    reasons = {clip: str(entry["sets"]) for clip, entry in found.items()}
    assert all("'why': ['" in reasons[clip] for clip in found if states[clip] != "ok")
    assert "no video stream" in reasons["wav_named_mp4"]
    assert "no audio stream" in reasons["very_dark_no_audio"]
    assert "24 of 24 frames without a face" in reasons["no_face"]
    assert states["one_frame"] == "partial"
    for name in ("rotated_0", "rotated_90"):
        assert find_set(cache, "faces").read(name).attributes["frame_size"][0] > 0


@pytest.mark.slow
def test_a_real_clip_with_a_face_is_whole(data: Path, tmp_path: Path) -> None:
    path = data / "clips" / "faces" / "single_face.mp4"
    write_manifest(tmp_path / "m.csv", [Clip("face", path, end_seconds=0.5)])
    assert extract(tmp_path / "m.csv", tmp_path / "cache").exit_code == 0
    rungs = (
        FeatureSet.open(find_set(tmp_path / "cache", "faces").folder).read("face").arrays["rung"]
    )
    assert (rungs != BoxSource.WHOLE).all()
    assert len(rungs) == 15

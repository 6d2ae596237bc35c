"""A file of which 40 % of the bytes are there is partial, and says where it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.doctor.doctor import diagnose_manifest
from pipeline.doctor.settings import DoctorSettings
from pipeline.media.frames import VideoReader
from pipeline.media.sound import read_waveform
from tests.pipeline.command import avfuse
from tests.pipeline.videos import read_all, write_video

# What `ffmpeg -i` decodes, and what the headers declare (ffprobe): of the picture and of the sound.
RIGHT = {
    "mkv": ("the picture ends at 0.86 s of 2.42 s", "the sound ends at 0.77 s of 2.40 s"),
    "mp4": ("the picture ends at 0.80 s of 2.40 s", "the sound ends at 0.74 s of 2.38 s"),
    "mp3": (None, "the sound ends at 0.94 s of 2.39 s"),
}


@pytest.mark.parametrize("suffix", RIGHT)
def test_picture_and_sound_say_where_they_end(faults: Path, suffix: str) -> None:
    path = faults / "cut-off-file" / f"trunc.{suffix}"
    picture, sound = RIGHT[suffix]
    waveform = read_waveform(path)
    assert waveform is not None
    assert f"{sound} declared" in waveform.problems
    if picture:
        reader = VideoReader(path)
        read_all(reader)
        assert f"{picture} declared" in reader.problems


def test_the_doctor_finds_what_is_cut_off(faults: Path) -> None:
    found = diagnose_manifest(
        faults / "cut-off-file" / "m.csv", settings=DoctorSettings(sample=0), jobs=0
    ).findings
    cut_off = {finding.clips: finding.text for finding in found if finding.kind == "cut off"}
    wanted = {
        (suffix,): "; ".join(f"{one} declared" for one in sentences if one)
        for suffix, sentences in RIGHT.items()
    }
    assert cut_off == wanted


def test_a_cut_off_clip_becomes_partial_entries_and_a_finding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (62, 94, 3), np.uint8) for _ in range(60)]
    sound = rng.uniform(-0.5, 0.5, (1, 38_400)).astype(np.float32)
    path = write_video(tmp_path / "a.mkv", images, sound=sound, sound_codec="aac")
    path.write_bytes(path.read_bytes()[: round(0.4 * path.stat().st_size)])
    manifest = tmp_path / "m.csv"
    manifest.write_text("clip,path\na,a.mkv\n")
    avfuse("extract", manifest, "--cache", tmp_path / "c", "--sets", "faces,logmel", "--jobs", "0")
    report = json.loads((tmp_path / "c" / "extract-report.json").read_text())
    sets: dict[str, dict[str, Any]] = report["clips"][0]["sets"]
    for name, kind in (("faces", "picture"), ("logmel", "sound")):
        assert sets[name]["state"] == "partial"
        why = sets[name]["why"][0]
        assert why.startswith(f"the {kind} ends at 0.9")
        assert "s of 2.4" in why
    findings = diagnose_manifest(manifest, settings=DoctorSettings(sample=0), jobs=0).findings
    assert "cut off" in {finding.kind for finding in findings}

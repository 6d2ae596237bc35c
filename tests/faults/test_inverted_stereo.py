"""A right channel that is the left one inverted leaves nothing of their mean: one is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.doctor.doctor import diagnose_manifest
from pipeline.doctor.settings import DoctorSettings
from pipeline.media.sound import read_waveform
from tests.pipeline.command import avfuse
from tests.pipeline.videos import grey_frame, write_video

NOTE = "channels: they cancel each other in an average; one is kept"


def level(samples: np.ndarray) -> float:
    """Decibels of full scale."""
    return 10 * float(np.log10((samples.astype(np.float64) ** 2).mean()))


def test_the_speech_of_inverted_channels_has_its_level(faults: Path) -> None:
    waveform = read_waveform(faults / "inverted-stereo" / "phase.mp4")
    assert waveform is not None
    assert level(waveform.samples) == pytest.approx(-21, abs=1)  # the left channel's, by ffmpeg
    assert waveform.notes == (NOTE,)
    assert waveform.problems == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("gain", [-1.0, -0.9])
def test_inverted_channels_are_heard_noted_and_found(
    tmp_path: Path, suffix: str, gain: float
) -> None:
    noise = 0.1 * np.random.default_rng(0).normal(0, 1, 96_000)
    sound = np.stack([noise, gain * noise]).astype(np.float32)
    write_video(tmp_path / f"a.{suffix}", [grey_frame(0)] * 50, sound=sound, sound_rate=48_000)
    waveform = read_waveform(tmp_path / f"a.{suffix}")
    assert waveform is not None
    # White noise at 48 kHz has a third of its power below 8 kHz: -20 - 4.8 dB.
    assert level(waveform.samples) == pytest.approx(-24.8, abs=1.0)  # AAC takes some
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"clip,path\na,a.{suffix}\n")
    avfuse("extract", manifest, "--cache", tmp_path / "c", "--sets", "logmel", "--jobs", "0")
    report = json.loads((tmp_path / "c" / "extract-report.json").read_text())
    assert report["clips"][0]["state"] == "ok"
    assert report["clips"][0]["notes"] == [NOTE]
    findings = diagnose_manifest(manifest, settings=DoctorSettings(sample=0), jobs=0).findings
    assert "channels" in {finding.kind for finding in findings}

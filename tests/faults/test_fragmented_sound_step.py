"""Sound whose stamps move by 80 ms behind its first frame stays with its picture."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.media.frames import VideoReader
from pipeline.media.sound import SAMPLE_RATE, read_waveform
from tests.pipeline.videos import read_all

CLOSE = 0.005  # seconds


def hear(path: Path) -> np.ndarray:
    """A clip's sound from its zero on."""
    waveform = read_waveform(path)
    assert waveform is not None
    assert waveform.problems == ()
    before = np.zeros(round(waveform.start_seconds * SAMPLE_RATE), np.float32)
    return np.concatenate([before, waveform.samples])


def lateness(sound: np.ndarray, source: np.ndarray) -> float:
    """Seconds by which sound comes later than in its source, by their cross-correlation."""
    length = len(sound) + len(source)
    product = np.fft.rfft(sound, length) * np.conj(np.fft.rfft(source, length))
    at = int(np.argmax(np.abs(np.fft.irfft(product, length))))
    return (at if at < length // 2 else at - length) / SAMPLE_RATE


def test_sound_and_picture_of_the_fragmented_file_are_together(faults: Path) -> None:
    path = faults / "fragmented-sound-step" / "frag.mp4"
    # The same clip, whose sound and picture both start at 0; its channels are each other's inverse.
    source = hear(faults / "inverted-stereo" / "phase.mp4")
    picture = read_all(VideoReader(path)).times[0]
    assert picture == pytest.approx(0.08)
    assert lateness(hear(path), source) - picture == pytest.approx(0, abs=CLOSE)
    waveform = read_waveform(path)
    assert waveform is not None
    assert [note.partition(":")[0] for note in waveform.notes] == ["sound step"]


@pytest.mark.parametrize(
    "flags", ["frag_keyframe+empty_moov", "dash", "frag_keyframe+empty_moov+default_base_moof"]
)
def test_sound_and_picture_of_any_fragments_are_together(tmp_path: Path, flags: str) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is absent; its fragments have the step")
    source = np.random.default_rng(0).normal(0, 3000, 5 * SAMPLE_RATE).astype("<i2")
    (tmp_path / "a.raw").write_bytes(source.tobytes())
    path = tmp_path / "a.mp4"
    words = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=5"]
    words += ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", str(tmp_path / "a.raw")]
    words += ["-c:v", "libx264", "-g", "25", "-c:a", "aac", "-ar", "48000", "-movflags", flags]
    subprocess.run(["ffmpeg", "-v", "error", *words, str(path)], check=True, timeout=60)
    picture = read_all(VideoReader(path)).times[0]
    late = lateness(hear(path), source.astype(np.float32))
    assert late - picture == pytest.approx(0, abs=CLOSE)

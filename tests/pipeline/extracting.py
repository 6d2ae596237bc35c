"""Stage one called as the command line, and what it leaves behind."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from pipeline.cli import main
from tests.conftest import SMALL

EXTRACT = ("--sets", "faces,resnet18,spectrogram", *SMALL, "--views", "basic")


def extract(manifest: Path, cache: Path, *arguments: str) -> Result:
    """Extract in this process; all three sets in a small form unless others are named."""
    command = ["extract", str(manifest), "--cache", str(cache), *arguments]
    if "--sets" not in arguments:
        command += EXTRACT
    if "--jobs" not in arguments:
        command += ["--jobs", "0"]
    return CliRunner().invoke(main, command)


def report(cache: Path) -> dict[str, dict[str, Any]]:
    """The clips of the last run's report, by their ids."""
    text = (cache / "extract-report.json").read_text()
    return {clip["clip"]: clip for clip in json.loads(text)["clips"]}


def entries(cache: Path) -> dict[str, tuple[int, int]]:
    """Every entry with its time and inode: one that is written again has another."""
    return {
        str(path.relative_to(cache)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in cache.rglob("*.h5")
    }


def write_tone(path: Path, seconds: float) -> None:
    """Write so much of a tone as 16-bit WAV."""
    samples = np.sin(np.arange(int(seconds * 16_000)) / 16_000 * 2 * np.pi * 440)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 20_000).astype("<i2").tobytes())

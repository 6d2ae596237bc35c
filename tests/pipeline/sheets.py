"""Contact sheets of known faces, made by the command line and read back."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from click.testing import CliRunner, Result

from cache.entries.failure import Failure
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet
from pipeline.cli import main
from pipeline.faces.tracks import Box, BoxSource
from tests.pipeline.known_faces import SPEC, see, write_table

SMALL: Box = (5, 5, 26, 26)
LARGE: Box = (40, 10, 81, 51)
STEADY = [see(frame, 0, LARGE) for frame in range(7)]
TWO = [*STEADY, *(see(frame, 1, SMALL, BoxSource.FOLLOW) for frame in range(7))]


def inspect(manifest: Path, cache: Path, output: Path, *options: str) -> Result:
    """Make a sheet of small pictures."""
    command = ["inspect", "faces", str(manifest), "--cache", str(cache), "-o", str(output)]
    return CliRunner().invoke(main, [*command, "--size", "80", "--frames", "3", *options])


def show(clips: Sequence[Clip], folder: Path, *options: str, ok: bool = True) -> str:
    """Return the text of a page; pictures are left out."""
    path = folder / "sheet.html"
    result = inspect(write_table(folder, clips), folder / "cache", path, *options)
    assert result.exit_code == (0 if ok else 1), result.output
    return re.sub(r"base64,[^\"]+", "", path.read_text(encoding="utf-8"))


def pictures(page: Path) -> list[np.ndarray]:
    """Decode what a page shows, in its order."""
    found = re.findall(
        r'<img src="data:image/jpeg;base64,([^"]+)', page.read_text(encoding="utf-8")
    )
    return [cv2.imdecode(np.frombuffer(b64decode(text), np.uint8), 1) for text in found]


def fail(clip: Clip, cache: Path, reason: str) -> None:
    """Record that a clip could not be read."""
    FeatureSet(cache, SPEC).create({}).record_failure(
        Failure(clip.id, "open", reason, read_source(clip.path))
    )


def pictures_of(clip: Clip, folder: Path) -> np.ndarray:
    """Make the page of a clip; returns its one picture."""
    show([clip], folder)
    (picture,) = pictures(folder / "sheet.html")
    return picture

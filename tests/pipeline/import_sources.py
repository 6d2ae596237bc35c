"""Features from elsewhere, written small and imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.entries.entry import Entry
from cache.sets.feature_set import FeatureSet
from pipeline.exchange.importing import ImportReport, import_features
from pipeline.exchange.settings import ImportRefusedError, ImportSettings

CLIPS = ["a-1", "a-2", "b-1"]
GENERATOR = np.random.default_rng(0)
VECTORS = {clip: GENERATOR.normal(size=5).astype(np.float32) for clip in CLIPS}
FRAMES = np.array(  # frame, face, two features; frame 2 shows two faces
    [[1, 0, 10, 20], [2, 0, 11, 21], [3, 0, 12, 22], [2, 1, 13, 31]], np.float32
)


def run(
    folder: Path,
    path: Path | list[Path],
    clips: list[str] | None = None,
    *,
    missing: bool = False,
    **how: Any,
) -> ImportReport:
    """Import a source as the set ``mine``."""
    settings = ImportSettings(**{"format": "npz", **how})
    return import_features(
        folder / "cache", "mine", path, clips or CLIPS, settings, allow_missing=missing
    )


def refused(folder: Path, path: Path | list[Path], *args: Any, **how: Any) -> str:
    """Return the message; nothing may have been written."""
    with pytest.raises(ImportRefusedError) as caught:
        run(folder, path, *args, **how)
    assert not (folder / "cache").exists()
    return str(caught.value)


def entry(report: ImportReport, clip: str) -> Entry:
    return FeatureSet.open(report.folder).read(clip)


def values(report: ImportReport, clip: str) -> np.ndarray:
    return FeatureSet.open(report.folder).read(clip, verify=True).arrays["values"]


def times(report: ImportReport, clip: str) -> list[float]:
    return list(entry(report, clip).arrays["times"])


def npz(folder: Path, **arrays: Any) -> Path:
    """Write a source of arrays."""
    path = folder / "source.npz"
    np.savez(path, **arrays)
    return path


def csv(folder: Path, *lines: str) -> Path:
    """Write a source of lines."""
    path = folder / "source.csv"
    path.write_text("\n".join(lines) + "\n")
    return path

"""A file as avfuse reads it, whole or cut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.manifest.span import WHOLE_FILE, Span
from pipeline.media.frames import VideoReader
from tests.conformance.signals import numbers_of


@dataclass(frozen=True)
class Seen:
    """Frames that were read: images (N, H, W, 3), times (N,), and what the reader said."""

    images: np.ndarray
    times: np.ndarray
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def numbers(self) -> list[int]:
        """The number that each frame carries."""
        return numbers_of(self.images)


def see(path: Path, span: Span = WHOLE_FILE) -> Seen:
    """Read a clip's frames."""
    reader = VideoReader(path, span=span)
    chunks = list(reader)
    return Seen(
        np.concatenate([chunk.images for chunk in chunks]),
        np.concatenate([chunk.times for chunk in chunks]),
        tuple(reader.problems),
        tuple(reader.notes),
    )

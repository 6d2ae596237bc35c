"""Settings of decoding: the limits of what one file may take."""

from __future__ import annotations

from dataclasses import dataclass

from cache.settings import check_at_least


@dataclass(frozen=True)
class DecodeSettings:
    """Limits that keep one bad file from spoiling a run, and the decoder's threads.

    None of them changes the numbers of a clip that is within the limits.

    Args:
        max_pixels: height times width of a frame; the default is just above 8K.
        max_duration_seconds: length of the part of a file that one clip may use.
        max_frames: frames of one clip.
        max_channels: audio channels.
        chunk_bytes: a chunk of decoded frames is at most this large (and at least one frame).
        threads: decoder threads; 1 because callers run a process per core.

    Raises:
        ValueError: a limit is below 1.
    """

    max_pixels: int = 36_000_000
    max_duration_seconds: float = 7_200.0
    max_frames: int = 500_000
    max_channels: int = 64
    chunk_bytes: int = 48_000_000
    threads: int = 1

    def __post_init__(self) -> None:
        check_at_least(1, self, *vars(self))

"""What of the machine a run takes: processes, threads, and who computes the networks.

None of it is in any key: numbers change by rounding only (see ``extractors.running.face_network``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from cache.manifest.manifest import Clip

ConsumerChoice = Literal["auto", "shared", "own"]
# Of a clip cut out of a longer file, so that it has a place among whole files: a common bit rate.
BYTES_PER_SECOND = 125_000


@dataclass(frozen=True)
class Resources:
    """How a run uses the cores and the GPU.

    Measured on two cores (benchmarks/NOTES.md): a process a core, each with one thread, one decoder
    thread and networks of its own, beats fewer processes with more threads.

    Args:
        jobs: worker processes; None is one per core and no more than clips, 0 works in this
            process.
        threads: PyTorch threads of each worker, or of the consumer; None is one per worker, more
            only where there are fewer clips than cores and ``jobs`` is left open.
        consumer: ``own`` lets each worker run the networks, ``shared`` one consumer for all, which
            fills batches across clips; ``auto`` shares a GPU and no CPU.

    Raises:
        ValueError: ``jobs`` is below 0, ``threads`` below 1, or ``consumer`` none of these.
    """

    jobs: int | None = None
    threads: int | None = None
    consumer: ConsumerChoice = "auto"

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 0:
            raise ValueError(f"jobs must not be negative, got {self.jobs}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")
        if self.consumer not in get_args(ConsumerChoice):
            raise ValueError(
                f"consumer must be one of {', '.join(get_args(ConsumerChoice))}, "
                f"got {self.consumer!r}"
            )

    def share(self, num_clips: int, device: str) -> Share:
        """Settle what is left open, for a number of clips on a device."""
        cores = num_cores()
        jobs = min(cores if self.jobs is None else self.jobs, num_clips)
        threads = self.threads
        if threads is None:
            threads = max(1, cores // max(1, jobs)) if self.jobs is None else 1
        shared = self.consumer == "shared" or (self.consumer == "auto" and device != "cpu")
        return Share(jobs, threads, shared=shared and jobs > 0)


@dataclass(frozen=True)
class Share:
    """What ``Resources`` come to."""

    jobs: int
    threads: int
    shared: bool


def num_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def largest_first(clips: Sequence[Clip]) -> list[Clip]:
    """Sort clips by falling size, so that at the end no worker is left alone with a long one."""
    return sorted(clips, key=_size, reverse=True)


def _size(clip: Clip) -> float:
    try:
        size = clip.path.stat().st_size
    except (OSError, ValueError):
        return 0.0  # its turn tells
    if clip.end_seconds is None:
        return size
    return min(size, (clip.end_seconds - (clip.start_seconds or 0.0)) * BYTES_PER_SECOND)

"""Clips over worker processes: each in a process that may die without taking the run with it.

A worker makes a marker file when it begins a clip, and the parent removes it when it has the
result. When a worker dies (killed for its memory, or by its own watchdog because a decoder hung)
the markers left over say which clips were in flight. A clip whose decoder hung is failed; the
others are tried once more, each alone, and only one that kills its worker again is failed. Nothing
else is lost: entries are committed one by one.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, Protocol, TextIO, TypeVar

import torch
from joblib.externals.loky import ProcessPoolExecutor, process_executor

LAST_WORDS = "Timeout"  # how the interpreter's timer begins what it writes
Chunk = TypeVar("Chunk")
_watched: list[TextIO] = []  # the marker of the clip in this process, while it is watched


def watch(marker: TextIO | None) -> None:
    """Watch this process from now on, last words going to ``marker``; None stops it."""
    _watched[:] = [] if marker is None else [marker]


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End a watched process if what is inside the ``with`` takes longer than ``seconds``."""
    if _watched:
        faulthandler.dump_traceback_later(seconds, exit=True, file=_watched[0])
    try:
        yield
    finally:
        if _watched:
            faulthandler.cancel_dump_traceback_later()


def guarded(chunks: Iterable[Chunk], limit_seconds: float) -> Iterator[Chunk]:
    """Yield from ``chunks``, ending a watched process if one chunk takes longer than the limit."""
    iterator = iter(chunks)
    while True:
        try:
            with time_limit(limit_seconds):
                chunk = next(iterator)
        except StopIteration:
            return
        yield chunk


# Clips handed over ahead of the workers: none of them waits, and a million are never queued.
AHEAD_PER_WORKER = 2
# Chunks of frames go back to the system when they are freed: kept in pieces among what is small,
# they would let a worker grow with a clip's length. A network's maps, which are smaller
# (``MAP_BYTES_ON_CPU``) and three or four at a time, are kept.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(21 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
LOOK_SECONDS = 0.2  # from one look whether to stop to the next, while no result comes
PARENT_SECONDS = 0.5  # from one look whether the parent still runs to the next


class Item(Protocol):
    """A unit of work, with an id that is unique in a run."""

    @property
    def id(self) -> str:
        """The clip's id."""
        ...


T = TypeVar("T", bound=Item)
R = TypeVar("R")


class WorkerDied(Exception):  # noqa: N818  # it says what happened, not what is wrong
    """A worker process ended while it held a clip; the message says why, as far as is known."""


class WorkersFailedError(RuntimeError):
    """No worker process can be started, or none gets as far as a clip."""


def map_clips(
    work: Callable[[T], R],
    clips: Iterable[T],
    *,
    jobs: int,
    failed: Callable[[T, WorkerDied], R],
    stopped: Callable[[], bool] = lambda: False,
    threads: int = 1,
    setup: Callable[[], None] | None = None,
) -> Generator[R]:
    """Yield one result per clip, in the order in which they finish.

    Args:
        work: called in a worker process; must pickle. Its exceptions end the run.
        clips: read only as far ahead as the workers need.
        jobs: number of worker processes, a core each; 0 works in this process, unwatched.
        failed: called here for a clip that ended its worker, instead of ``work``.
        stopped: asked several times a second; once it is true the workers are ended and the clips
            that they hold are left. In this process it is asked between clips.
        threads: PyTorch threads of each worker.
        setup: called when a worker starts; must pickle.

    Raises:
        WorkersFailedError: workers end before they take a clip, so that going on is pointless.
    """
    if jobs == 0:
        for clip in clips:
            if stopped():
                return
            yield work(clip)
        return
    source = iter(clips)
    with tempfile.TemporaryDirectory(prefix="avfuse-workers-") as folder:
        while True:
            start = _Start(os.getpid(), Path(folder), threads, setup)
            pool = _Pool(work, jobs, start, stopped)
            yield from pool.run(source)
            if stopped() or not (pool.in_flight or pool.not_begun):
                return
            if not pool.in_flight and not pool.num_done:
                raise WorkersFailedError(
                    "the worker processes end before they take a clip; run with --jobs 0 to see why"
                )
            source = itertools.chain(pool.not_begun, source)
            for clip in pool.in_flight:
                if (reason := _last_words(Path(folder), clip)) is not None:
                    yield failed(clip, WorkerDied(reason))
                    continue
                alone = _Pool(work, 1, start, stopped)
                yield from alone.run([clip])
                if stopped():
                    return
                if not alone.num_done:
                    reason = _last_words(Path(folder), clip) or (
                        "the worker process was killed twice while it held this clip, the second "
                        "time alone (out of memory, or a crash in a decoder)"
                    )
                    yield failed(clip, WorkerDied(reason))


class _Pool(Generic[T, R]):
    """Worker processes until the clips are done or one of the workers dies.

    After a death ``in_flight`` holds the clips that a worker had begun, ``not_begun`` those that
    were handed over but not begun.
    """

    def __init__(
        self, work: Callable[[T], R], jobs: int, start: _Start, stopped: Callable[[], bool]
    ) -> None:
        self.work = work
        self.jobs = jobs
        self.start = start
        self.markers = start.markers
        self.stopped = stopped
        self.in_flight: list[T] = []
        self.not_begun: list[T] = []
        self.num_done = 0

    def run(self, clips: Iterable[T]) -> Iterator[R]:
        """Yield results as they come."""
        source = iter(clips)
        running: dict[Future[R], T] = {}
        executor = ProcessPoolExecutor(
            max_workers=self.jobs,
            initializer=self.start,
            env=ENVIRONMENT,
        )
        try:
            while not self.stopped():
                room = self.jobs * AHEAD_PER_WORKER - len(running)
                for clip in itertools.islice(source, room):
                    running[executor.submit(_hold, self.work, clip, self.markers)] = clip
                if not running:
                    return
                # A wait without end would sleep through a signal, whose handler only makes a note.
                for future in wait(running, LOOK_SECONDS, FIRST_COMPLETED).done:
                    result = future.result()
                    yield self._done(running.pop(future), result)
        except BrokenProcessPool:
            wait(running)
            for future, clip in running.items():
                if future.exception() is None:
                    yield self._done(clip, future.result())
                elif _marker(self.markers, clip).exists():
                    self.in_flight.append(clip)
                else:
                    self.not_begun.append(clip)
        finally:
            executor.shutdown(wait=True, kill_workers=True)

    def _done(self, clip: T, result: R) -> R:
        self.num_done += 1
        _marker(self.markers, clip).unlink(missing_ok=True)
        return result


@dataclass(frozen=True)
class _Start:
    """What a worker does before its first clip."""

    parent: int
    markers: Path
    threads: int
    setup: Callable[[], None] | None

    def __call__(self) -> None:
        # As many whatever the number of workers, so that the numbers a clip yields do not depend
        # on it either.
        torch.set_num_threads(self.threads)
        # loky replaces a worker that has grown by 300 MB, taking growth for a leak. Large frames
        # need more than that, and a new worker would load every network again.
        process_executor._USE_PSUTIL = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
        threading.Thread(target=_end_with, args=(self.parent, self.markers), daemon=True).start()
        if self.setup is not None:
            self.setup()


def _end_with(parent: int, markers: Path) -> None:
    """End this worker when its parent is gone: killed alone, it leaves workers that wait for ever.

    A worker at work would also go on writing into the cache, beside the next run.
    """
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    shutil.rmtree(markers, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _hold(work: Callable[[T], R], clip: T, markers: Path) -> R:
    path = _marker(markers, clip)
    with path.open("w") as marker:
        watch(marker)
        try:
            return work(clip)
        finally:
            watch(None)


def _marker(markers: Path, clip: Any) -> Path:
    return markers / sha256(clip.id.encode()).hexdigest()[:32]


def _last_words(markers: Path, clip: Any) -> str | None:
    """Why the worker ended itself, or None if something else ended it."""
    path = _marker(markers, clip)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None  # its worker died before it began
    path.unlink()
    if not text.startswith(LAST_WORDS):
        return None
    return "decoding hung: no frame or sound within the limit (hang_seconds)"

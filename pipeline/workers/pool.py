"""Pool of worker processes that may die: each death costs at most the clip in that worker's hands.

Every worker is a Python process of its own at the end of a pipe, and holds one clip at a time. When
a worker dies, a clip whose decoder hung (the watchdog's last words say so) is failed; any other is
tried once more, alone, after all the rest, and only if it kills its worker again is it failed. The
other workers go on, and their entries are committed one by one.

Pools of libraries break promises that this module's tests hold. Pebble's workers share one pipe
and its locks: one that was killed while it handed over a result kept them, and the other clips
waited 124 s (here 3 s); and a script without ``if __name__ == "__main__"`` fails there. Loky's ends
every worker when one dies, and takes one that grew by 300 MB for a leak unless a private flag says
otherwise; a new worker would load every network again.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, NoReturn, Protocol, Self, TypeVar

from pipeline.workers.watchdog import LAST_WORDS, watch

# Chunks of frames go back to the system when they are freed: kept in pieces among what is small,
# they would let a worker grow with a clip's length. A network's maps, which are smaller
# (``MAP_BYTES_ON_CPU``) and three or four at a time, are kept.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(21 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
# Ctrl-C reaches workers too, and the parent decides what it ends: ignore it before long imports.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "from pipeline.workers.pool import serve; serve({link}, {load!r})"
)
LOOK_SECONDS = 0.2  # from one look whether to stop to the next, while no result comes
PARENT_SECONDS = 0.5  # from one look whether the parent still runs to the next
KILLED_TWICE = (
    "the worker process was killed twice while it held this clip, the second time alone (out of "
    "memory, or a crash in a decoder)"
)
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}
HUNG = "decoding hung: no frame or sound within the limit (hang_seconds)"


class Item(Protocol):
    """A unit of work, with an id that is unique in a run."""

    @property
    def id(self) -> str:
        """The clip's id."""
        ...


T = TypeVar("T", bound=Item)
R = TypeVar("R")


class WorkerDied(Exception):  # noqa: N818  # it says what happened, not what is wrong
    """Error of a worker process that ended while it held a clip.

    Attributes:
        of_clip: whether the clip is to blame, as it is for a hang and for crashes of a decoder; what
            else ends a process is the machine's doing, and the next run tries the clip again.
    """

    def __init__(self, reason: str, *, of_clip: bool) -> None:
        super().__init__(reason)
        self.of_clip = of_clip


class WorkersFailedError(RuntimeError):
    """Error of workers that can't be started, or all end before their first clip."""


def map_clips(
    work: Callable[[T], R],
    clips: Iterable[T],
    *,
    jobs: int,
    failed: Callable[[T, WorkerDied], R],
    stopped: Callable[[], bool] = lambda: False,
    threads: int = 1,
    setup: Callable[[], None] | None = None,
    early: EarlyWorkers | None = None,
) -> Generator[R]:
    """Yield one result per clip, in the order in which they finish.

    Args:
        work: called in a worker process; must pickle. Its exceptions end the run.
        clips: read one by one, when a worker is free.
        jobs: number of worker processes, a core each; 0 works in this process, unwatched.
        failed: called here for a clip that ended its worker, instead of ``work``.
        stopped: asked several times a second; once it is true the workers are ended and the clips
            that they hold are left. In this process it is asked between clips.
        threads: PyTorch threads of each worker.
        setup: called when a worker starts; must pickle.
        early: workers that are starting already, taken before others are started.

    Raises:
        WorkersFailedError: workers end before they take a clip, so that going on is pointless.
    """
    if jobs == 0:
        for clip in clips:
            if stopped():
                return
            yield work(clip)
        return
    with tempfile.TemporaryDirectory(prefix="avfuse-workers-") as folder:
        start = _Start(os.getpid(), Path(folder), threads, setup, work)
        pool = _Pool(start, failed, stopped, early)
        yield from pool.run(iter(clips), jobs)
        yield from pool.run(iter(pool.again), 1, alone=True)


class EarlyWorkers:
    """Worker processes that load their libraries before it is known what they will work on.

    For the time until ``map_clips`` takes them, while a run is planned; those that it doesn't take
    end with the ``with``.

    Args:
        number: of processes.
        load: the module that they import, with all that it needs.
    """

    def __init__(self, number: int, load: str) -> None:
        self._started = [_start_worker(load) for _ in range(number)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        while self._started:
            _end_worker(*self._started.pop())

    def take(self) -> tuple[subprocess.Popen[bytes], Connection] | None:
        """Hand over one of them, with this end of its pipe; None if none is left."""
        return self._started.pop() if self._started else None


def _start_worker(load: str = "") -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a worker that loads a module, then waits to be told what to do."""
    link, other = Pipe()
    with other:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM.format(link=other.fileno(), load=load)],
            stdin=subprocess.DEVNULL,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)},
            pass_fds=[other.fileno()],
        )
    return process, link


def _end_worker(process: subprocess.Popen[bytes], link: Connection) -> None:
    process.kill()
    process.wait()
    link.close()


@dataclass
class _Worker(Generic[T]):
    """A worker process and the clip that it holds, or will as soon as it is ready."""

    process: subprocess.Popen[bytes]
    clip: T
    ready: bool = False


class _Pool(Generic[T, R]):
    """Worker processes, known by this end of their pipes; ``again`` are clips to try alone."""

    def __init__(
        self,
        start: _Start,
        failed: Callable[[T, WorkerDied], R],
        stopped: Callable[[], bool],
        early: EarlyWorkers | None,
    ) -> None:
        self.early = early
        self.markers = start.markers
        self.file = start.save()
        self.failed = failed
        self.stopped = stopped
        self.again: list[T] = []
        self._workers: dict[Connection, _Worker[T]] = {}
        self._handed_back: list[T] = []
        self._num_done = 0
        self._num_done_before = 0  # when a worker last ended before it was ready

    def run(self, clips: Iterator[T], jobs: int, *, alone: bool = False) -> Iterator[R]:
        """Yield results as they come; ``alone`` fails a clip whose worker dies."""
        try:
            while not self.stopped():
                while len(self._workers) < jobs and (clip := self._next(clips)) is not None:
                    self._begin(clip)
                if not self._workers:
                    return
                # A wait without end would sleep through a signal, whose handler only makes a note.
                heard = wait(self._workers, LOOK_SECONDS)
                for link in [link for link in self._workers if link in heard]:
                    try:
                        answer = link.recv()
                    except (EOFError, OSError):
                        yield from self._bury(link, alone=alone)
                        continue
                    if answer is not None:
                        self._num_done += 1
                    self._hand_over(link, clips)
                    if answer is not None:
                        result, error = answer
                        if error is not None:
                            raise error
                        yield result
        finally:
            for link in list(self._workers):
                self._end(link)

    def _next(self, clips: Iterator[T]) -> T | None:
        return self._handed_back.pop() if self._handed_back else next(clips, None)

    def _begin(self, clip: T) -> None:
        """Start a worker that will take a clip."""
        process, link = (self.early and self.early.take()) or _start_worker()
        with contextlib.suppress(OSError):  # it died meanwhile, as the next look at its pipe shows
            link.send(self.file)
        self._workers[link] = _Worker(process, clip)

    def _hand_over(self, link: Connection, clips: Iterator[T]) -> None:
        """Give a worker its first clip, or the next; end it where none is left."""
        worker = self._workers[link]
        if worker.ready:
            clip = self._next(clips)
            if clip is None:
                self._end(link)
                return
            worker.clip = clip
        worker.ready = True
        with contextlib.suppress(OSError):  # it died meanwhile, as the next look at its pipe shows
            link.send(worker.clip)

    def _bury(self, link: Connection, *, alone: bool) -> Iterator[R]:
        """Decide what becomes of the clip of a worker that died."""
        worker = self._end(link)
        if not worker.ready:
            others = any(other.ready for other in self._workers.values())
            if not others and self._num_done == self._num_done_before:
                raise WorkersFailedError(
                    "the worker processes end before they take a clip; run with --jobs 0 to see why"
                )
            self._num_done_before = self._num_done
            self._handed_back.append(worker.clip)
            return
        hung = _has_hung(self.markers, worker.clip)
        if self.stopped():
            return
        if hung or alone:
            reason = HUNG if hung else KILLED_TWICE
            crashed = -worker.process.returncode in CRASHES
            yield self.failed(worker.clip, WorkerDied(reason, of_clip=hung or crashed))
        else:
            self.again.append(worker.clip)

    def _end(self, link: Connection) -> _Worker[T]:
        worker = self._workers.pop(link)
        _end_worker(worker.process, link)
        return worker


@dataclass(frozen=True)
class _Start:
    """Start of a worker: what it needs before its first clip."""

    parent: int
    markers: Path
    threads: int
    setup: Callable[[], None] | None
    work: Callable[[Any], Any]

    def save(self) -> str:
        """Write this where a worker reads it; return the file."""
        path = self.markers / "start"
        path.write_bytes(pickle.dumps(self))
        return str(path)

    def prepare(self) -> None:
        """Settle threads and connections of this worker, and end it when its parent is gone."""
        import torch  # here, as only workers need it

        # As many whatever the number of workers, so that the numbers a clip yields do not depend
        # on it either.
        torch.set_num_threads(self.threads)
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        if self.setup is not None:
            self.setup()

    def _end_with_parent(self) -> None:
        """End this worker when its parent is gone: at work it would write beside the next run."""
        while os.getppid() == self.parent:
            time.sleep(PARENT_SECONDS)
        self.end()

    def end(self) -> NoReturn:
        """End this worker, whose parent is gone, and remove what the parent left."""
        shutil.rmtree(self.markers, ignore_errors=True)
        os._exit(1)


def serve(link: int, load: str) -> None:
    """Work on the clips that come through a pipe: what a worker process runs until it is killed.

    Args:
        link: the pipe; the file with the start comes first.
        load: a module to import meanwhile; empty for none.
    """
    pipe = Connection(link)
    if load:
        importlib.import_module(load)
    try:
        start: _Start = pickle.loads(Path(pipe.recv()).read_bytes())  # noqa: S301 - of our parent
    except (EOFError, FileNotFoundError):  # our parent is gone, and what it left with it
        return
    start.prepare()
    pipe.send(None)  # ready
    while True:
        try:
            clip = pipe.recv()
        except (EOFError, OSError):
            start.end()
        try:
            pipe.send((_hold(start.work, clip, start.markers), None))
        except Exception as error:  # noqa: BLE001 - the parent raises it
            pipe.send((None, _portable(error)))


def _hold(work: Callable[[T], R], clip: T, markers: Path) -> R:
    """Work on a clip while its marker lies there, open to the watchdog's last words."""
    path = _marker(markers, clip)
    with path.open("w") as marker:
        watch(marker)
        try:
            return work(clip)
        finally:
            watch(None)
            path.unlink(missing_ok=True)


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent, with the traceback it had here as a note."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
        portable = error
    except Exception:  # noqa: BLE001 - whatever its class does
        portable = RuntimeError(f"{type(error).__name__}: {error}")
    portable.add_note("".join(traceback.format_exception(error)))
    return portable


def _marker(markers: Path, clip: Item) -> Path:
    return markers / sha256(clip.id.encode()).hexdigest()[:32]


def _has_hung(markers: Path, clip: Item) -> bool:
    """Say whether a worker that died had ended itself because the clip's decoder hung."""
    path = _marker(markers, clip)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return False  # it died before it began the clip, or after
    path.unlink()
    return text.startswith(LAST_WORDS)

"""Pool of worker processes that may die: each death costs at most the clip in that worker's hands.

Every worker is a Python process of its own at the end of a pipe, and holds one clip at a time. When
a worker dies, its clip is tried once more, alone, after all the rest, and only if it costs its
worker again is it failed; a clip whose decoder hangs is failed at once, and its worker ended. The
other workers go on, and their entries are committed one by one. Nothing of a pool lies in a folder:
a kill leaves nothing, and no folder can be full.

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
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, BinaryIO, Generic, Protocol, Self, TypeVar

from pipeline.workers.error import MachineError, place_of
from pipeline.workers.orphan import end_with_parent
from pipeline.workers.pulse import Pace, Pulse, shown_here
from pipeline.workers.watchdog import NOTE_BYTES, Watch, be_watched

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
    "from pipeline.workers.pool import serve; serve"
    "({link}, {shared}, {parent}, by_kernel={by_kernel}, load={load!r})"
)
LOOK_SECONDS = 0.2  # from one look at stops and hangs to the next, while no result comes
DEATH_SECONDS = 5.0  # that a killed process may take to be gone; one that hangs in the kernel stays
STARTS_AGAIN = 2  # worker processes that may end while they start, beside one for each
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}
HUNG = "decoding hung: no frame or sound within the limit (hang_seconds)"
UNANSWERED = "the disk of its file gave no answer within the limit (hang_seconds)"
CRASHED = (
    "the worker process crashed twice while it held this clip, the second time alone: {how}, in a "
    "decoder"
)
ENDED = "the worker process {verb} twice while it held this clip, the second time alone: {how}"
OF_MEMORY = "mostly too little memory: use fewer --jobs"


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
        of_clip: whether the clip is to blame, as it is for hangs and crashes of a decoder;
            what else ends a process is the machine's doing, and the next run tries the clip again.
    """

    def __init__(self, reason: str, *, of_clip: bool) -> None:
        super().__init__(reason)
        self.of_clip = of_clip


class WorkersFailedError(MachineError):
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
    pace: Callable[[Pace], None] | None = None,
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
        pace: told several times a second how far the clips in work are.

    Raises:
        WorkersFailedError: workers end again and again before one takes a clip.
    """
    if jobs == 0:
        with shown_here(pace) if pace else contextlib.nullcontext():
            for clip in clips:
                if stopped():
                    return
                yield work(clip)
        return
    pool = _Pool(_Start(threads, setup, work), failed, stopped, early, pace)
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
        self._started: list[_Worker] = []
        with contextlib.suppress(OSError):  # ``map_clips`` tries again, and says why it can't
            for _ in range(number):
                self._started.append(_start_worker(load))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        while self._started:
            self._started.pop().end()

    def take(self) -> _Worker | None:
        """Hand over one of them; None if none is left."""
        return self._started.pop() if self._started else None


@dataclass(frozen=True)
class _Worker:
    """A worker process, this end of its pipe, the file that it shares and the watch over it."""

    process: subprocess.Popen[bytes]
    link: Connection
    shared: BinaryIO
    watch: Watch

    def end(self) -> int:
        """Kill it; return how it ended, maybe before, as ``Popen.returncode``."""
        self.process.kill()
        self.link.close()
        with contextlib.suppress(OSError):  # what did not fit into it is tried once more
            self.shared.close()
        try:
            return self.process.wait(DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL


def _start_worker(load: str = "") -> _Worker:
    """Start a worker that loads a module, then waits to be told what to do."""
    with contextlib.ExitStack() as stack:
        link, other = Pipe()
        with other:
            stack.callback(link.close)
            shared = stack.enter_context(_shared_file())
            shared.write(bytes(NOTE_BYTES))
            shared.flush()
            program = PROGRAM.format(
                link=other.fileno(),
                shared=shared.fileno(),
                parent=os.getpid(),
                by_kernel=threading.current_thread() is threading.main_thread(),
                load=load,
            )
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", program],
                stdin=subprocess.DEVNULL,
                env=os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=[other.fileno(), shared.fileno()],
            )
        stack.pop_all()
    return _Worker(process, link, shared, Watch(process.pid, shared.fileno()))


def _shared_file() -> BinaryIO:
    """Open a file without a name, which is gone with the processes that hold it open."""
    if hasattr(os, "memfd_create"):  # needs no folder, which may be full or read-only
        return os.fdopen(os.memfd_create("avfuse-worker"), "w+b")
    return tempfile.TemporaryFile()


@dataclass
class _Hands(Generic[T]):
    """A worker and the clip in its hands, or meant for them; ``words`` say why it isn't ready."""

    worker: _Worker
    clip: T
    ready: bool = False
    words: str = ""


class _Pool(Generic[T, R]):
    """Worker processes, known by this end of their pipes; ``again`` are clips to try alone."""

    def __init__(
        self,
        start: _Start,
        failed: Callable[[T, WorkerDied], R],
        stopped: Callable[[], bool],
        early: EarlyWorkers | None,
        pace: Callable[[Pace], None] | None,
    ) -> None:
        self.early = early
        self.pace = pace
        self.start = pickle.dumps(start)
        self.failed = failed
        self.stopped = stopped
        self.again: list[T] = []
        self._first_endings: dict[str, int] = {}  # of the workers of the clips in ``again``
        self._hands: dict[Connection, _Hands[T]] = {}
        self._handed_back: list[T] = []
        self._ended: list[Pulse] = []  # of workers that ended
        self._jobs = 0
        self._num_failed_starts = 0  # since one was ready

    def run(self, clips: Iterator[T], jobs: int, *, alone: bool = False) -> Iterator[R]:
        """Yield results as they come; ``alone`` fails a clip whose worker dies."""
        self._jobs = jobs
        looked = time.monotonic()
        try:
            while not self.stopped():
                while len(self._hands) < self._jobs and (clip := self._next(clips)) is not None:
                    self._begin(clip)
                if not self._hands:
                    return
                # A wait without end would sleep through a signal, whose handler only makes a note.
                heard = wait(self._hands, max(0.0, looked + LOOK_SECONDS - time.monotonic()))
                for link in [link for link in self._hands if link in heard]:
                    if link not in self._hands:  # its clip was taken meanwhile
                        continue
                    try:
                        answer = link.recv()
                    except (EOFError, OSError):
                        yield from self._bury(link, alone=alone)
                        continue
                    if isinstance(answer, str):
                        self._hands[link].words = answer
                        continue
                    self._hand_over(link, clips)
                    if answer is not None:
                        result, error = answer
                        if error is not None:
                            raise error
                        yield result
                since = time.monotonic() - looked
                if since >= LOOK_SECONDS:
                    looked += since
                    # More than one look's length is time in which this process did not run.
                    yield from self._end_hanging(LOOK_SECONDS)
                    if self.pace:
                        ready = [hands.worker for hands in self._hands.values() if hands.ready]
                        self.pace(Pace.of([one.watch.pulse() for one in ready], self._ended))
        finally:
            for link in list(self._hands):
                self._end(link)

    def _next(self, clips: Iterator[T]) -> T | None:
        return self._handed_back.pop() if self._handed_back else next(clips, None)

    def _take_from_one_that_starts(self) -> T | None:
        """End a worker that may never be ready, where another is free to take its clip."""
        for link, hands in self._hands.items():
            if not hands.ready:
                self._end(link)
                return hands.clip
        return None

    def _begin(self, clip: T) -> None:
        """Start a worker that will take a clip."""
        try:
            worker = (self.early and self.early.take()) or _start_worker()
        except OSError as error:
            self._hand_back(clip, str(error))
            return
        self._hands[worker.link] = hands = _Hands(worker, clip)
        try:
            worker.shared.write(self.start)
            worker.shared.flush()
        except OSError as error:
            hands.words = str(error)
            worker.process.kill()
        with contextlib.suppress(OSError):  # it died meanwhile, as the next look at its pipe shows
            worker.link.send(None)

    def _hand_over(self, link: Connection, clips: Iterator[T]) -> None:
        """Give a worker its first clip, or the next; end it where none is left."""
        hands = self._hands[link]
        if hands.ready:
            clip = self._next(clips) or self._take_from_one_that_starts()
            if clip is None:
                self._end(link)
                return
            hands.clip = clip
        hands.ready = True
        self._num_failed_starts = 0
        with contextlib.suppress(OSError):  # it died meanwhile, as the next look at its pipe shows
            link.send(hands.clip)

    def _end_hanging(self, seconds: float) -> Iterator[R]:
        for link, hands in list(self._hands.items()):
            # What has just come is read first.
            if hands.worker.watch.hangs(seconds) and not link.poll():
                of_clip = not hands.worker.watch.waits_for_disk()
                self._end(link)
                reason = HUNG if of_clip else UNANSWERED
                yield self.failed(hands.clip, WorkerDied(reason, of_clip=of_clip))

    def _bury(self, link: Connection, *, alone: bool) -> Iterator[R]:
        """Decide what becomes of the clip of a worker that died."""
        hands = self._hands[link]
        ending = self._end(link)
        if self.stopped():
            return
        if not hands.ready:
            self._hand_back(hands.clip, hands.words or _tell(ending))
        elif alone:
            endings = {self._first_endings[hands.clip.id], ending}
            crashed = all(-end in CRASHES for end in endings)
            verb = "was killed" if max(endings) < 0 else "ended"
            reason = (CRASHED if crashed else ENDED).format(verb=verb, how=_tell(*endings))
            yield self.failed(hands.clip, WorkerDied(reason, of_clip=crashed))
        else:
            self._first_endings[hands.clip.id] = ending
            self.again.append(hands.clip)

    def _hand_back(self, clip: T, why: str) -> None:
        """Keep the clip of a worker that could not start for another, as long as there is hope."""
        self._handed_back.append(clip)
        self._num_failed_starts += 1
        if self._num_failed_starts < self._jobs + STARTS_AGAIN:
            return
        if not self._hands:
            raise WorkersFailedError(
                f"the worker processes end before they take a clip, {self._num_failed_starts} in a "
                f"row; the last: {why}"
            )
        self._jobs = len(self._hands)  # this machine bears no more

    def _end(self, link: Connection) -> int:
        worker = self._hands.pop(link).worker
        self._ended.append(worker.watch.pulse())
        return worker.end()


def _tell(*endings: int) -> str:
    """Say how processes ended, in words for a reason."""
    names = {number.value: number.name for number in signal.Signals}
    told = [
        f"exit code {end}" if end >= 0 else names.get(-end, f"signal {-end}")
        for end in sorted(endings, reverse=True)
    ]
    why = f" ({OF_MEMORY})" if -signal.SIGKILL in endings else ""
    return " and ".join(told) + why


@dataclass(frozen=True)
class _Start:
    """Start of a worker: what it needs before its first clip."""

    threads: int
    setup: Callable[[], None] | None
    work: Callable[[Any], Any]

    def prepare(self) -> None:
        """Settle threads and connections of this worker."""
        # As many whatever the number of workers, so that the numbers a clip yields do not depend
        # on it either. The work has loaded PyTorch, or may do it later, or does without.
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(self.threads)
        if self.setup is not None:
            self.setup()


def serve(link: int, shared: int, parent: int, *, by_kernel: bool, load: str) -> None:
    """Work on the clips that come through a pipe: what a worker process runs until it is killed.

    Args:
        link: the pipe.
        shared: a file: first this worker's note for the watchdog, then its start, which is there
            when the first message comes.
        parent: the process at the other end.
        by_kernel: see ``end_with_parent``.
        load: a module to import meanwhile; empty for none.
    """
    end_with_parent(parent, by_kernel=by_kernel)
    pipe = Connection(link)
    try:
        work = _prepare(pipe, shared, load)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells of it
        with contextlib.suppress(OSError):
            pipe.send(f"{type(error).__name__}: {error} ({place_of(error)})")
        return
    pipe.send(None)  # ready
    while True:
        try:
            clip = pipe.recv()
        except (EOFError, OSError):  # the parent is gone
            os._exit(1)
        try:
            pipe.send((work(clip), None))
        except Exception as error:  # noqa: BLE001 - the parent raises it
            pipe.send((None, _portable(error)))


def _prepare(pipe: Connection, shared: int, load: str) -> Callable[[Any], Any]:
    """Load all that the work needs, and return the work."""
    if load:
        importlib.import_module(load)
    pipe.recv()
    with open(shared, "r+b") as file:
        be_watched(shared)
        file.seek(NOTE_BYTES)
        start: _Start = pickle.load(file)  # noqa: S301 - of our parent
        file.truncate(NOTE_BYTES)  # a plan with many choices by hand need not stay in memory
    start.prepare()
    return start.work


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent, with the traceback it had here as a note."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
        portable = error
    except Exception:  # noqa: BLE001 - whatever its class does
        portable = RuntimeError(f"{type(error).__name__}: {error}")
    portable.add_note("".join(traceback.format_exception(error)))
    return portable

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.sets.feature_set import FeatureSet
from cache.sets.scan import find_temporaries
from cache.signals import StopRequest, ends_by_signal, hold_signals
from cache.upkeep.verify import verify_cache

ROOT = Path(__file__).parent.parent.parent


class StopError(Exception):
    """Raised by the handler."""


@pytest.fixture
def stopping() -> Iterator[None]:
    """Let two signals raise."""

    def stop(number: int, frame: object) -> None:
        raise StopError(signal.Signals(number).name)

    numbers = (signal.SIGUSR1, signal.SIGUSR2)
    before = [signal.signal(number, stop) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("stopping")
def test_a_signal_that_arrives_inside_is_handled_at_the_end() -> None:
    reached = []

    def work() -> None:
        with hold_signals(), hold_signals():
            signal.raise_signal(signal.SIGUSR1)
            reached.append("the end")

    with pytest.raises(StopError, match="SIGUSR1"):
        work()
    assert reached == ["the end"]
    with pytest.raises(StopError, match="SIGUSR1"):
        signal.raise_signal(signal.SIGUSR1)  # handled at once again


@pytest.mark.usefixtures("stopping")
def test_all_handlers_come_back_though_one_raises_while_they_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    real = signal.signal
    raised = []

    def interrupted(number: int, handler: object) -> object:
        result = real(number, handler)  # type: ignore[arg-type]  # passed on
        if handler is handlers[number] and not raised:
            raised.append(number)
            raise StopError("while handlers come back")
        return result

    def work() -> None:
        with hold_signals():
            monkeypatch.setattr(signal, "signal", interrupted)

    with pytest.raises(StopError, match="while handlers come back"):
        work()
    assert {number: signal.getsignal(number) for number in handlers} == handlers


def test_in_another_thread_nothing_is_held() -> None:
    entered = []

    def work() -> None:
        with hold_signals():
            entered.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [True]


# Ctrl-C at any moment; HDF5 took the process down when a handler raised inside its calls.
INTERRUPT = """
import random, signal, sys
from pathlib import Path
import numpy as np
from cache.entries import writer as entry_writer
from cache.sets.feature_set import FeatureSet
from cache.entries.source import read_source

class Stop(BaseException):
    pass

def stop(number, frame):
    raise Stop

signal.signal(signal.SIGALRM, stop)
sys.unraisablehook = lambda arguments: None  # Python itself loses one in a weak reference's end
entry_writer.CHUNK_BYTES = 4096
feature_set, source = FeatureSet.open(Path(sys.argv[1])), read_source(Path(sys.argv[2]))
generator = random.Random(31)
stopped = 0
for number in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, generator.uniform(1e-5, 6e-3))
        with feature_set.writer(f"clip{number % 7}", source=source, provenance={}) as writer:
            for part in range(10):
                times = np.arange(7.0) + 7 * part
                writer.append(times=times, basic=np.ones((7, 103), np.float32))
            writer.finish()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        stopped += 1
print(stopped)
"""


@pytest.mark.slow
def test_interrupts_at_any_moment_neither_crash_nor_leave_anything(
    feature_set: FeatureSet, video: Path
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPT, str(feature_set.folder), str(video)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert int(run.stdout) > 50
    assert verify_cache(feature_set.cache).damage == ()
    assert list(find_temporaries(feature_set.cache)) == []


def test_a_stop_request_notes_the_first_signal_and_raises_nothing() -> None:
    stop = StopRequest()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop.noted(), stop.noted():
        assert not stop.asked()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert (stop.asked(), stop.number) == (True, signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_signal_breaks_off_what_does_not_wait_for_the_end() -> None:
    stop, reached = StopRequest(), []
    with stop.noted():
        with stop.breaks_off(at=2):
            signal.raise_signal(signal.SIGTERM)
            reached.append("after the first")
            signal.raise_signal(signal.SIGTERM)
            reached.append("after the second")
        signal.raise_signal(signal.SIGTERM)  # outside nothing breaks off any more
    assert reached == ["after the first"]


def test_an_interruption_that_is_none_of_ours_passes_through() -> None:
    stop = StopRequest()
    with pytest.raises(KeyboardInterrupt), stop.noted(), stop.breaks_off(at=2):
        raise KeyboardInterrupt


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_a_signal_ends_cleans_up_and_says_what_follows(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = []

    @ends_by_signal("Nothing is lost.")
    def command() -> None:
        try:
            signal.raise_signal(number)
            steps.append("went on")
        finally:
            signal.raise_signal(signal.SIGTERM)  # ignored: clean-up is not cut off
            steps.append("cleaned up")

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as ended:
            command()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert (ended.value.code, steps) == (code, ["cleaned up"])
    assert capsys.readouterr().err == f"\nStopped ({number.name}). Nothing is lost.\n"


def test_an_error_without_a_signal_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="bad"), ends_by_signal("Nothing is lost."):
        raise ValueError("bad")

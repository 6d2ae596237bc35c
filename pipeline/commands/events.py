"""Log of events: standard error as one JSON object a line (``--log-json``), for programs to read.

docs/schemas/log.json is its schema. Text that is written becomes events too, also what libraries
and worker processes write to descriptor 2 themselves, so that every line can be read.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO, TextIO, cast

FLAG = "--log-json"
STDERR = 2
PIPE_BYTES = 1 << 20  # of what libraries say and nobody has read yet; more is dropped
LINE_CHARACTERS = 1 << 16
END_SECONDS = 2.0  # that a worker may take to let go of the pipe


class EventStream:
    """Stream whose every text becomes an event.

    Args:
        stream: where to write the lines.
        file: the same as an unbuffered file, whose failure leaves nothing behind; None where the
            stream has no descriptor.
    """

    def __init__(self, stream: TextIO, file: BinaryIO | None = None) -> None:
        self.encoding = "utf-8"
        self._command = ""
        self._stream = stream
        self.file = file
        self._text = ""
        self._lock = threading.RLock()  # a signal's handler may write while its thread does

    def event(self, name: str, **fields: object) -> None:
        """Write an event: its time, name, command, and what else is known of it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        known = {"time": now, "event": name, "command": self._command, **fields}
        line = json.dumps(known, allow_nan=False, default=str) + "\n"
        with self._lock, contextlib.suppress(OSError):  # a log that fails stops no work
            if self.file is not None:
                self.file.write(line.encode())
            else:
                self._stream.write(line)

    def name_command(self, words: str) -> None:
        """Note the words that called the command; events before have none."""
        self._command = words

    def write(self, text: str) -> int:
        """Make an event of text that ends its line; else keep it for the rest."""
        self._text += text
        if self._text.endswith("\n"):
            self.flush_text()
        return len(text)

    def flush_text(self) -> None:
        """Make an event of the text that is kept."""
        said, self._text = self._text.strip(), ""
        if said:
            self.event("failure" if said.startswith("Error:") else "note", text=said)

    def flush(self) -> None:
        """Hand on what was written; lines of the file are handed on at once."""
        if self.file is None:
            self._stream.flush()

    def isatty(self) -> bool:
        """No line of it is ever written again."""
        return False


def asks_for_events(words: Sequence[str]) -> bool:
    """Whether a command line asks for a log of events: known before it is read, to log that too."""
    before, _, _ = " ".join([*words, "--"]).partition(" -- ")
    return FLAG in before.split()


@contextlib.contextmanager
def logged_events(stderr: TextIO) -> Iterator[None]:
    """Make standard error a log of events, and end it with one that says how all ended.

    Raises:
        SystemExit: what ended in an error that nobody foresaw; it is in the log.
    """
    started = time.monotonic()
    code: object = 1
    with _opened(stderr) as log:
        try:
            with _caught(log), contextlib.redirect_stderr(cast(TextIO, log)), _ended_by_sigterm():
                try:
                    yield
                except Exception as error:  # noqa: BLE001 - whatever it is, the log tells of it
                    said = f"Error: {type(error).__name__}: {error}"
                    log.event("failure", text=said, traceback=traceback.format_exc())
                    sys.exit(1)
            code = 0
        except SystemExit as end:
            code = 0 if end.code is None else end.code
            raise
        finally:
            log.flush_text()
            number = code if isinstance(code, int) else 1
            seconds = round(time.monotonic() - started, 3)
            log.event("done", exit_code=number, **_signal_of(number), seconds=seconds)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a command that doesn't note it as an error would: the log is told then."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _signal_of(exit_code: int) -> dict[str, str]:
    """Name the signal that an exit code stands for, as shells count."""
    with contextlib.suppress(ValueError):
        return {"signal": signal.Signals(exit_code - 128).name}
    return {}


@contextlib.contextmanager
def _opened(stderr: TextIO) -> Iterator[EventStream]:
    """Open a log in the place of a stream; of descriptor 2, if it is the stream's."""
    try:
        own = stderr.fileno() == STDERR
    except (OSError, ValueError):
        own = False
    if not own:
        yield EventStream(stderr)
        return
    with os.fdopen(os.dup(STDERR), "wb", buffering=0) as file:
        yield EventStream(stderr, file)


@contextlib.contextmanager
def _caught(log: EventStream) -> Iterator[None]:
    """Put a pipe in the place of descriptor 2, whose lines become events, if the log has it."""
    if log.file is None:
        yield
        return
    read, write = os.pipe()
    with contextlib.suppress(OSError, AttributeError):  # only Linux has pipes of other sizes
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.set_blocking(write, False)  # who writes may hold Python's lock, which the reader needs
    os.dup2(write, STDERR)
    os.close(write)
    reader = threading.Thread(target=_read, args=(read, log), daemon=True)
    reader.start()
    try:
        yield
    finally:
        os.dup2(log.file.fileno(), STDERR)
        reader.join(END_SECONDS)


def _read(descriptor: int, log: EventStream) -> None:
    with os.fdopen(descriptor, encoding="utf-8", errors="backslashreplace") as lines:
        for line in iter(lambda: lines.readline(LINE_CHARACTERS), ""):
            if said := line.strip():
                log.event("note", text=said)

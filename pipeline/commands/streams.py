"""Standard streams of the command: open from the start, safe to look at, and named when they fail.

Text of a file that others made, a label or a name, may hold what moves a terminal's cursor or turns
a line around. All that a command prints passes here, so that no command has to think of it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO, cast

from cache.wording import show_controls
from pipeline.commands.loading import Loading


class ShownStream:
    r"""A text stream on which control characters become visible, as ``\x1b`` for an escape.

    Args:
        wrapped: the stream to write to; a progress bar, which moves the cursor, writes to it
            directly.
        fail: called once, with the error, when it can't be written; later text is dropped.
        end_loading: called before anything is written.
    """

    def __init__(
        self,
        wrapped: TextIO,
        fail: Callable[[OSError], None],
        end_loading: Callable[[], None] = lambda: None,
    ) -> None:
        self.wrapped = wrapped
        self.end_loading = end_loading
        self._fail = fail
        self._failed = False

    def write(self, text: str) -> int:
        """Write text, its control characters visible."""
        self.end_loading()
        shown = show_controls(text)
        self._do(lambda: self.wrapped.write(shown))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written."""
        self._do(self.wrapped.flush)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # bytes would go past us; click takes it where the encoding is ASCII
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    def _do(self, call: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            call()
        except OSError as error:
            self._failed = True
            _discard(self.wrapped)
            self._fail(error)


@contextlib.contextmanager
def shown_streams() -> Iterator[None]:
    """Let what is printed inside pass through a ``ShownStream``.

    Descriptors 0 to 2 are opened where they are closed: the next file that is opened would get
    their number, and what a library prints would land in it.

    Raises:
        SystemExit: standard output couldn't be written. The work is done then and the reason on
            standard error; only a reader who went away, as ``head`` does, ends it at once and
            quietly. Standard error can fail without consequence.
    """
    before = sys.stdout, sys.stderr
    failed: list[OSError] = []
    _open_descriptors()
    # Not writable, so that the first word fails: what was asked for can't be said.
    out = sys.stdout or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - a device
    err = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (out, err):
        if hasattr(stream, "reconfigure"):  # a letter that the terminal lacks is no reason to end
            stream.reconfigure(errors="backslashreplace")

    def note(error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        failed.append(error)

    loading = Loading(err)
    sys.stdout = cast(TextIO, ShownStream(out, note, loading.end))
    sys.stderr = cast(TextIO, ShownStream(err, lambda _: None, loading.end))
    try:
        try:
            with loading:
                yield
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        if end.code or not failed:
            raise
    finally:
        for error in failed:
            why = f"can't be written: {error.strerror}" if error.strerror else "is closed"
            print(
                f"Error: standard output {why}; send it to another place and run the same command "
                "again",
                file=sys.stderr,
            )
        sys.stdout, sys.stderr = before
    if failed:
        sys.exit(1)


def _open_descriptors() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)


def _discard(stream: TextIO) -> None:
    """Let what a stream still holds vanish: Python would fail over it again at its end."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: it has no descriptor
        descriptor = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)

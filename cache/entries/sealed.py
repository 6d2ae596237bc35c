"""Sealed HDF5 files: a text header in front that states what the file is and its SHA-256.

The header fills the HDF5 user block, the bytes before the HDF5 data that HDF5 leaves to us: three
lines (kind and layout version; JSON; SHA-256 of the first two lines), then zeros. The JSON holds
the size and the SHA-256 of all bytes after the block. So 2,048 bytes say what a file is and that
it isn't cut short; any changed bit is found before HDF5, which may crash on damage, sees the file.

HDF5 itself never writes to the disk; it writes through ``cache.entries.sink``, which says why.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import h5py

from cache.codec import parse_object, read_field
from cache.commit import named_errors, sync_folder, temporary_path, write_error
from cache.digest import JSON, canonical_json, digest_file
from cache.entries.sink import Sink
from cache.signals import hold_signals

HEADER_BYTES = 2048
T = TypeVar("T")
_ATTEMPTS = 10  # a file that is replaced more often than that, one after the other, is in trouble
LAYOUT = 2  # raised when what an entry or pack holds changes
# Bytes of the header in each layout that is still read. Packs are copies: old ones are built anew.
_READABLE = {"entry": {1: 1024, LAYOUT: HEADER_BYTES}}
_FIRST_LINE = re.compile(rb"avfuse ([a-z]+) ([0-9]{1,4})")


class SealError(ValueError):
    """A file of the cache isn't what its header states, or has no header."""


class LayoutError(SealError):
    """A file of the cache was written by a version of avfuse with another layout."""


@dataclass(frozen=True, slots=True)
class Header:
    """Header of a sealed file, read from its first bytes.

    Args:
        fields: what its kind keeps there.
        body_sha256: digest of all bytes after the header.
        bytes: the whole file's size.
        mtime_ns: when it was last changed, in nanoseconds.
        layout: of what its kind keeps.
        body_start: bytes before the HDF5 data.
    """

    fields: Mapping[str, Any]
    body_sha256: str
    bytes: int
    mtime_ns: int
    layout: int = LAYOUT
    body_start: int = HEADER_BYTES


def read_header(path: Path, kind: str) -> Header:
    """Read what a file states about itself, and check that it isn't cut short.

    Args:
        path: the file.
        kind: ``entry`` or ``pack``.

    Raises:
        LayoutError: it has a layout that this version doesn't read.
        SealError: it isn't a sealed file of this kind, or its size isn't as stated.
        OSError: it can't be read.
    """
    # Plain descriptors: ten thousand headers are read for one `cache status`.
    # A pipe would block until somebody writes to it.
    with named_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            block = os.read(descriptor, HEADER_BYTES)
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    first = block.partition(b"\n")[0]
    match = _FIRST_LINE.fullmatch(first)
    if match is None or match[1] != kind.encode():
        raise SealError(f"it starts with {first[:40]!r} instead of {f'avfuse {kind} {LAYOUT}'!r}")
    layout, sizes = int(match[2]), _READABLE.get(kind, {LAYOUT: HEADER_BYTES})
    start = sizes.get(layout, 0)
    line, _, rest = block[len(first) + 1 : start or None].partition(b"\n")
    checksum, _, padding = rest.partition(b"\n")
    if checksum.decode("ascii", "replace") != _seal(first + b"\n" + line + b"\n"):
        raise SealError("its header is damaged")
    if not start:
        raise LayoutError(f"it has layout {layout}, this version of avfuse {LAYOUT}")
    if len(block) < start or padding != bytes(len(padding)):
        raise SealError("its header is damaged")
    try:
        fields = parse_object(line)
        size = start + read_field(fields, "body_bytes", int)
        body_sha256 = read_field(fields, "body_sha256", str)
    except (ValueError, TypeError) as error:
        raise SealError(f"its header is not one of ours: {error}") from error
    del fields["body_bytes"], fields["body_sha256"]
    if status.st_size != size:
        raise SealError(f"it has {status.st_size} bytes instead of {size}")
    return Header(fields, body_sha256, status.st_size, status.st_mtime_ns, layout, start)


def verify_body(path: Path, header: Header) -> None:
    """Read a file through and compare with what its header states.

    Raises:
        SealError: a byte differs.
        OSError: it can't be read.
    """
    if digest_file(path, start=header.body_start) != header.body_sha256:
        raise SealError("its content doesn't match the SHA-256 that its header states")


def read_unchanged(path: Path, read: Callable[[], T]) -> T:
    """Read a file in several looks, again if another process replaced it between two of them.

    The header of one file with the body of the next would pass for damage.

    Args:
        path: the file.
        read: looks at it, and may raise ValueError at what seems damaged.

    Raises:
        FileNotFoundError: there is none.
        ValueError: what ``read`` raised for a file that stayed the same.
    """
    for attempt in range(_ATTEMPTS):
        before = _stamp(path)
        try:
            result = read()
        except ValueError:
            if attempt == _ATTEMPTS - 1 or _stamp(path) == before:
                raise
            continue
        if _stamp(path) == before:
            break
    return result


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


class SealedFile:
    """An HDF5 file in the making, which appears at ``path`` complete or not at all.

    Left without ``commit``, its temporary file is removed and nothing has happened. Processes may
    write one path at once: the last commit stays, and each was whole.

    Args:
        path: where it shall appear; the folder exists.
        kind: ``entry`` or ``pack``.
        what: what it is, for errors: "clip a: its entry".

    Attributes:
        h5: the open HDF5 file. Wrap what writes to it in ``writing()``.

    Raises:
        CacheWriteError: on entering, the temporary file can't be created.
    """

    h5: h5py.File

    def __init__(self, path: Path, kind: str, what: str) -> None:
        self.path = path
        self.kind = kind
        self.what = what
        self._temporary = temporary_path(path)

    def __enter__(self) -> Self:
        try:
            # A signal that arrived meanwhile is raised at the end of this block.
            with self.writing():
                self._sink = Sink(self._temporary)
                # Version 1.10 of the format: checksums over HDF5's own structure, and readable by
                # every HDF5 since 2016. No lock: the temporary name is this process's alone.
                self.h5 = h5py.File(
                    self._sink, "w", userblock_size=HEADER_BYTES, libver=("v110", "v110")
                )
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._abandon()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what fails inside into one clear error; signals are held back.

        Raises:
            CacheWriteError: a write failed; also one that HDF5 did earlier, on its own.
        """
        with hold_signals(), self._one_error():
            yield

    def commit(self, fields: Mapping[str, JSON] | Callable[[Path], Mapping[str, JSON]]) -> Path:
        """Close the file, seal it and let it appear, durably.

        Args:
            fields: what the header shall state; or a function that reads the closed file, by the
                path that it has until then, and says so.

        Returns:
            Its path.

        Raises:
            CacheWriteError: a write failed; what was at the path before is unchanged.
        """
        try:
            with self.writing():
                self.h5.close()
            with self._one_error():
                stated = fields(self._temporary) if callable(fields) else fields
                self._sink.write_header(
                    _format_header(
                        self.kind,
                        {
                            **stated,
                            "body_bytes": self._temporary.stat().st_size - HEADER_BYTES,
                            "body_sha256": digest_file(self._temporary, start=HEADER_BYTES),
                        },
                    )
                )
                os.fsync(self._sink.descriptor)
                self._temporary.replace(self.path)
                with hold_signals():
                    self._sink.close()
                sync_folder(self.path.parent)
        except BaseException:
            self._abandon()
            raise
        return self.path

    @contextlib.contextmanager
    def _one_error(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            self._raise_first_error()
            raise write_error(self.what, self.path, error) from error
        self._raise_first_error()

    def _raise_first_error(self) -> None:
        error = self._sink.error if hasattr(self, "_sink") else None
        if isinstance(error, OSError):
            raise write_error(self.what, self.path, error) from error
        if error is not None:
            raise error

    def _abandon(self) -> None:
        with hold_signals():
            if not hasattr(self, "_sink") or self._sink.descriptor < 0:
                return  # never begun, or committed
            # From here on nothing that HDF5 still wants to write reaches the disk, or can fail.
            self._sink.error = self._sink.error or InterruptedError("the file was given up")
            if hasattr(self, "h5"):
                # HDF5 may miss what was not written; the file is going away, so that is no news.
                with contextlib.suppress(OSError, RuntimeError, ValueError):
                    self.h5.close()
            self._sink.close()
            # The first error is what counts; a temporary file left behind is gc's to find.
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)


def _format_header(kind: str, fields: Mapping[str, JSON]) -> bytes:
    text = f"avfuse {kind} {LAYOUT}\n{canonical_json(fields)}\n".encode()
    block = text + _seal(text).encode() + b"\n"
    if len(block) > HEADER_BYTES:
        raise ValueError(f"a header has at most {HEADER_BYTES} bytes, this one {len(block)}")
    return block.ljust(HEADER_BYTES, b"\0")


def _seal(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()

"""The file object between HDF5 and the disk.

With no space left, HDF5 (h5py 3.16 with HDF5 2.0) fails while closing datasets and files, keeps
its descriptor, and in the end takes the process down (measured: a segmentation fault). So HDF5
never sees an error: this object does the writing, keeps the first error, and lets HDF5 go on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class Sink:
    """The file object that HDF5 writes through; it never raises, and keeps the first error.

    Args:
        path: the file, which must not exist yet.

    Attributes:
        descriptor: of the open file; -1 once it is closed.
        error: the first thing that went wrong; from then on nothing is written.

    Raises:
        OSError: the file can't be created.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self.error: BaseException | None = None
        self._position = 0
        self._end = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """HDF5 asks whether this exists and never calls it."""
        raise NotImplementedError(f"HDF5 reads {size} bytes with readinto")

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``, with zeros where the file has nothing."""
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))
        try:
            block = os.pread(self.descriptor, len(view), self._position)
            view[: len(block)] = block
        except BaseException as error:  # noqa: BLE001 - raised again by SealedFile
            self.error = self.error or error
        self._position += len(view)
        return len(view)

    def write(self, data: Any) -> int:
        """Write all of ``data``, or keep the error and act as if it was written."""
        view = memoryview(data).cast("B")
        try:
            if self.error is None:
                self._write_all(view, self._position)
        except BaseException as error:  # noqa: BLE001 - raised again by SealedFile
            self.error = self.error or error
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the file's length."""
        size = self._position if size is None else size
        try:
            if self.error is None:
                os.ftruncate(self.descriptor, size)
        except BaseException as error:  # noqa: BLE001 - raised again by SealedFile
            self.error = self.error or error
        self._end = size
        return size

    def flush(self) -> None:
        """Do nothing: the commit flushes once, when all is written."""

    def write_header(self, block: bytes) -> None:
        """Write over the first bytes; may raise, as HDF5 has no part in it."""
        self._write_all(memoryview(block), 0)

    def close(self) -> None:
        """Close the file; twice is no error."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)

    def _write_all(self, view: memoryview, offset: int) -> None:
        while view:
            written = os.pwrite(self.descriptor, view, offset)
            view, offset = view[written:], offset + written

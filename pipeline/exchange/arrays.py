"""Arrays of npy and npz files, read only where what they declare is true and small enough.

A file may declare far more than it holds, to fill the memory of whoever reads it. Here the sizes
in the directory of the archive, in the array's header and in the file itself must agree first, and
fit a limit. Nothing is ever unpickled.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.settings import ImportRefusedError

GIB = 1 << 30
_DEFLATE_RATIO = 1032  # zlib's documentation: no byte can become more
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(file: IO[bytes], size: int, limit: int) -> NDArray[np.generic]:
    """Read an array.

    Args:
        file: an open npy file, or member of an archive, at its beginning.
        size: bytes that it has.
        limit: bytes that the array may take.

    Raises:
        ValueError: it is no npy file, holds Python objects, has a shape that none has, or declares
            another size than it has or more than the limit.
        EOFError: it ends early.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"has npy's format {version[0]}.{version[1]}; expected 1.0 or 2.0")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError(
            "holds Python objects, which would have to be unpickled; avfuse never does"
        )
    # An array of no bytes may declare any length, and costs memory by it later.
    if any(length < 0 for length in shape) or not dtype.itemsize:
        raise ValueError(f"has the shape {shape} and the dtype {dtype}, which hold nothing")
    declared = math.prod(shape) * dtype.itemsize
    held = size - file.tell()
    if declared != held:
        raise ValueError(f"declares {declared:,} bytes, of shape {shape}, and has {held:,}")
    check_limit(declared, limit)
    file.seek(0)
    # np.load would try other formats too.
    array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def check_limit(num_bytes: int, limit: int) -> None:
    """Check that so many bytes may be held in memory.

    Raises:
        ValueError: they may not.
    """
    if num_bytes > limit:
        raise ValueError(
            f"takes {num_bytes / GIB:.3g} GiB of memory, more than the {limit / GIB:.3g} GiB that "
            "an import may take; pass --max-gib if that is right"
        )


class Npz:
    """An npz file, whose directory was checked against the file.

    Args:
        path: the file.
        limit: bytes that one array may take.

    Attributes:
        names: of the arrays, in the file's order.

    Raises:
        ImportRefusedError: it is no npz, holds something else than arrays, or declares more than
            it can hold.
        OSError: it can't be read.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        self._file = path.open("rb")
        try:
            self._archive = zipfile.ZipFile(self._file)
            self._members = {
                item.filename.removesuffix(".npy"): item for item in self._archive.infolist()
            }
            self.names = [item.filename.removesuffix(".npy") for item in self._archive.infolist()]
            self._check()
        except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
            self.close()
            raise ImportRefusedError(str(path), [f"is not an npz file: {error}"]) from error
        except BaseException:  # whatever it is, the file is closed
            self.close()
            raise

    def _check(self) -> None:
        members = self._archive.infolist()
        for item in members:
            packed, size = item.compress_size, item.file_size
            problem = ""
            if not item.filename.endswith(".npy"):
                problem = "is no npy file"
            elif item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                problem = f"is compressed by method {item.compress_type}, which NumPy never uses"
            elif size > packed * (_DEFLATE_RATIO if item.compress_type else 1):
                problem = f"declares {size:,} bytes in {packed:,}, more than they can hold"
            if problem:
                raise ImportRefusedError(str(self.path), [f"member {item.filename!r} {problem}"])
        total, size = sum(item.compress_size for item in members), self.path.stat().st_size
        if total > size:
            raise ImportRefusedError(
                str(self.path), [f"declares {total:,} bytes of members and has {size:,}"]
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, name: str) -> NDArray[np.generic]:
        """Read an array.

        Raises:
            ImportRefusedError: it isn't there, or ``read_npy`` refuses it.
        """
        try:
            item = self._members[name]
            with self._archive.open(item) as file:
                return read_npy(file, item.file_size, self.limit)
        except KeyError:
            problem = f"isn't there; there are {', '.join(self.names[:20])}"
        except (
            ValueError,
            EOFError,
            RuntimeError,
            OSError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            problem = str(error)
        raise ImportRefusedError(str(self.path), [f"array {name}: {problem}"])

    def read_together(self, names: list[str]) -> list[NDArray[np.generic]]:
        """Read arrays that are held at the same time.

        Raises:
            ImportRefusedError: one is refused, or together they are above the limit.
        """
        try:
            check_limit(
                sum(self._members[n].file_size for n in names if n in self._members), self.limit
            )
        except ValueError as error:
            raise ImportRefusedError(str(self.path), [str(error)]) from error
        return [self.read(name) for name in names]

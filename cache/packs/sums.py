"""Check a pack as fast as it is read: sums of its values, SHA-256 of all else.

SHA-256 reads 1 to 2 gigabytes a second, memory ten times as many. So the values, nearly all of a
pack, are checked by one 64-bit sum per 4,096 bytes; the sums in turn are checked by SHA-256. A
change of any one 8-byte word changes its sum for certain, other damage to a page goes unnoticed
once in 2^64. Everything that HDF5 looks at has its SHA-256 compared before HDF5 sees it, and
``verify`` compares that of the whole file.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from cache.codec import JsonFields
from cache.commit import named_errors
from cache.entries.sealed import HEADER_BYTES, Header, SealError

PAGE = 4096
_CHUNK = 256 * PAGE  # stays in the processor's cache from reading to summing
_STRETCH = 16 * _CHUNK  # what one thread reads at a time
_READERS = 4  # on two cores two and four are alike


@dataclass(frozen=True)
class PackSums(JsonFields):
    """Place of a pack's values in its file, and the sums that its bytes must have.

    Args:
        offset: of the values in the file.
        bytes: of the values.
        values: SHA-256 of the sums of their pages.
        rest: SHA-256 of the file's other bytes, less the header.
    """

    offset: int
    bytes: int
    values: str
    rest: str

    @classmethod
    def of(cls, header: Header) -> PackSums:
        """Read them from a pack's header.

        Raises:
            SealError: an older version wrote it, or it is not one of ours.
        """
        try:
            stated = cls.from_json(header.fields["sums"])
            inside = HEADER_BYTES <= stated.offset <= header.bytes - stated.bytes
        except (KeyError, TypeError) as error:
            raise SealError("its header states no sums") from error
        if not inside or stated.bytes < 0:
            raise SealError("its values lie outside of it")
        return stated


def find_values(file: h5py.File) -> tuple[int, int]:
    """Return offset and bytes of an open pack's values, which must have been written."""
    values = file["values"]
    if not values.nbytes:
        return HEADER_BYTES, 0
    return int(values.id.get_offset()), int(values.nbytes)


def add_up(path: Path, offset: int, size: int) -> PackSums:
    """Read a pack that has just been written, and sum it up.

    Args:
        path: the file.
        offset: of its values.
        size: bytes of its values.

    Raises:
        OSError: it can't be read.
    """
    values = np.memmap(path, np.uint8, "r", offset, (size,)) if size else np.empty(0, np.uint8)
    digest = hashlib.sha256()
    for start in range(0, size, _CHUNK):
        digest.update(_sum_pages(values[start : start + _CHUNK]))
    return PackSums(offset, size, digest.hexdigest(), _digest_rest(path, offset, size))


def check_rest(path: Path, stated: PackSums) -> None:
    """Compare all but the values with what the header states.

    Raises:
        SealError: a byte differs.
        OSError: it can't be read.
    """
    if _digest_rest(path, stated.offset, stated.bytes) != stated.rest:
        raise SealError(
            "the description of its values doesn't match the SHA-256 that its header states"
        )


def read_values(path: Path, stated: PackSums, *, verify: bool) -> np.ndarray:
    """Read a pack's values into memory, and check the very bytes that are returned.

    Args:
        path: the pack.
        stated: what its header states.
        verify: whether to check them.

    Returns:
        Their bytes, (n,) uint8.

    Raises:
        SealError: a value differs, or the file ends before its values do.
        OSError: it can't be read.
    """
    values = np.empty(stated.bytes, np.uint8)

    def read(start: int) -> bytes:
        part = values[start : start + _STRETCH]
        return _read_stretch(path, stated.offset + start, part, verify=verify)

    with ThreadPoolExecutor(_READERS) as readers:
        sums = b"".join(readers.map(read, range(0, stated.bytes, _STRETCH)))
    if verify and hashlib.sha256(sums).hexdigest() != stated.values:
        raise SealError("its values don't add up to what its header states")
    return values


def _read_stretch(path: Path, offset: int, into: np.ndarray, *, verify: bool) -> bytes:
    """Fill (n,) uint8 from a place of a file; the sums of its pages if they are wanted."""
    view = memoryview(into.data)
    sums = []
    with named_errors(path), path.open("rb", buffering=0) as file:
        file.seek(offset)
        for start in range(0, len(into), _CHUNK):
            part = view[start : start + _CHUNK]
            done = 0
            while done < len(part):
                count = file.readinto(part[done:])
                if not count:
                    raise SealError("it ends before its values do")
                done += count
            if verify:
                sums.append(_sum_pages(into[start : start + _CHUNK]))
    return b"".join(sums)


def check_mapped(values: np.ndarray, stated: PackSums) -> None:
    """Check values that are mapped, (n,) uint8, by reading them through.

    Raises:
        SealError: a value differs.
    """
    digest = hashlib.sha256()
    for start in range(0, len(values), _CHUNK):
        digest.update(_sum_pages(values[start : start + _CHUNK]))
    if digest.hexdigest() != stated.values:
        raise SealError("its values don't add up to what its header states")


def _sum_pages(part: np.ndarray) -> bytes:
    """Sum each page of (n,) uint8 as 64-bit numbers; the last page is filled with zeros."""
    whole = len(part) // PAGE * PAGE
    words = part[:whole].view("<u8").reshape(-1, PAGE // 8)
    sums: bytes = words.sum(axis=1, dtype=np.uint64).astype("<u8").tobytes()
    if whole == len(part):
        return sums
    last = np.zeros(PAGE, np.uint8)
    last[: len(part) - whole] = part[whole:]
    return sums + _sum_pages(last)


def _digest_rest(path: Path, offset: int, size: int) -> str:
    digest = hashlib.sha256()
    with named_errors(path), path.open("rb", buffering=0) as file:
        for start, end in (
            (HEADER_BYTES, offset),
            (offset + size, os.fstat(file.fileno()).st_size),
        ):
            file.seek(start)
            left = end - start
            while left > 0 and (block := file.read(min(left, _CHUNK))):
                digest.update(block)
                left -= len(block)
    return digest.hexdigest()

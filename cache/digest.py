"""Digests: SHA-256 of JSON, files and arrays, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cache.commit import named_errors

if TYPE_CHECKING:
    from hashlib import _Hash

# What JSON can hold. Mappings have text keys; tuples are written as lists.
JSON: TypeAlias = bool | int | float | str | Sequence[Any] | Mapping[str, Any] | None

READ_BYTES = 1 << 20


def canonical_json(value: JSON) -> str:
    """Write ``value`` as the one JSON text that stands for it: sorted keys, no spaces, ASCII.

    Raises:
        ValueError: a number is nan or infinite, or a key or value is of a type JSON can't hold.
    """
    _check(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=dict)


def digest_json(value: JSON) -> str:
    """Return the SHA-256, in hex, of ``canonical_json(value)``."""
    return digest_text(canonical_json(value))


def take_checksum(values: dict[str, Any]) -> None:
    """Take the ``checksum`` out of a record, which is the digest of all else in it.

    Raises:
        ValueError: it has none, or another.
    """
    try:
        if values.pop("checksum", None) != digest_json(values):
            raise ValueError("its checksum differs")
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def digest_text(text: str) -> str:
    """Return the SHA-256, in hex, of a text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path, *, start: int = 0) -> str:
    """Return the SHA-256, in hex, of a file's bytes from ``start`` on.

    Raises:
        OSError: the file can't be read.
    """
    digest = hashlib.sha256()
    with named_errors(path), path.open("rb", buffering=0) as file:
        file.seek(start)
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def digest_array(array: np.ndarray) -> str:
    """Return the SHA-256, in hex, of an array: its bytes in C order, then its dtype and shape."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return finish_array_digest(digest, array.dtype, array.shape)


def finish_array_digest(digest: _Hash, dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """Add dtype and shape to the digest of an array's bytes and return it in hex.

    The end of ``digest_array``, for arrays whose bytes pass by in parts.
    """
    digest.update(f"{dtype.newbyteorder('<').str}{list(shape)}".encode())
    return digest.hexdigest()


def _check(value: Any) -> None:
    """Refuse what ``json.dumps`` would write under another name or type."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"JSON needs text as keys, got {key!r}")
            _check(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(item)
    elif not (value is None or isinstance(value, (bool, int, float, str))):
        raise ValueError(f"JSON can't hold {value!r}, of type {type(value).__name__}")

"""Sources: the bytes of a media file that an entry was made from."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cache.codec import JsonFields
from cache.digest import digest_file
from cache.span import WHOLE_FILE, Span


@dataclass(frozen=True, slots=True)
class Source(JsonFields):
    """A media file's content, and the part of it that is the clip.

    Args:
        size: the file's bytes.
        mtime_ns: when it was last changed, in nanoseconds.
        sha256: digest of its content, in hex.
        start_seconds: where the clip starts in the file; None: at the beginning.
        end_seconds: where it ends; None: at the end.
    """

    size: int
    mtime_ns: int
    sha256: str
    start_seconds: float | None = None
    end_seconds: float | None = None

    @property
    def span(self) -> Span:
        """The part of the file that is the clip."""
        return Span(self.start_seconds, self.end_seconds)

    def same_content(self, other: Source) -> bool:
        """Whether both are the same part of the same bytes."""
        return (self.size, self.sha256, self.span) == (other.size, other.sha256, other.span)


def read_source(path: Path, span: Span = WHOLE_FILE) -> Source:
    """Read a file through and return its source.

    Args:
        path: the file.
        span: the part of it that is the clip.

    Raises:
        OSError: the file is missing, is no regular file, can't be read, or changed meanwhile.
    """
    before = _stat(path)
    digest = digest_file(path)
    after = _stat(path)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise OSError(f"{path} changed while it was read; wait until it is complete, then go on")
    return Source(after.st_size, after.st_mtime_ns, digest, span.start, span.end)


def same(path: Path, source: Source) -> bool:
    """Whether the file at ``path`` still has the content of ``source``.

    Size and time decide if both are equal. If only the time differs, the content is read and
    compared, so that a copied or touched file counts as the same.

    Raises:
        OSError: the file is missing, is no regular file or can't be read.
    """
    now = _stat(path)
    if now.st_size != source.size:
        return False
    return now.st_mtime_ns == source.mtime_ns or digest_file(path) == source.sha256


def _stat(path: Path) -> os.stat_result:
    result = path.stat()
    # Reading a pipe or a device would block or never end.
    if not stat.S_ISREG(result.st_mode):
        raise OSError(f"{path} is not a regular file; a clip's source is one media file")
    return result

"""Sources: the bytes of a media file that an entry was made from."""

from __future__ import annotations

import contextlib
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cache.codec import JsonFields
from cache.digest import digest_file
from cache.manifest.span import WHOLE_FILE, Span

# The coarsest clock of a file system in use (FAT's): a file may change again within it without
# getting another time. One that was hashed so soon after a change is not known by its times.
CLOCK_NS = 2_000_000_000


class SourceChangedError(OSError):
    """A clip's file changed while it was worked on; the work is void, the next run does it."""


class Stamp(NamedTuple):
    """Size, times and number of a file: while all four hold, so does its content.

    Programs set ``mtime_ns`` back, but none sets ``ctime_ns``; a file that takes another's name
    has an ``inode`` of its own. The two are None where they don't vouch for the content.
    """

    size: int
    mtime_ns: int
    ctime_ns: int | None
    inode: int | None


@dataclass(frozen=True, slots=True)
class Source(JsonFields):
    """A media file's content, and the part of it that is the clip.

    Args:
        size: the file's bytes.
        mtime_ns: when it was last changed, in nanoseconds.
        sha256: digest of its content, in hex.
        start_seconds: where the clip starts in the file; None: at the beginning.
        end_seconds: where it ends; None: at the end.
        ctime_ns: when the file system last noted a change of content or properties; None where
            it had only just changed, and in entries of layout 1.
        inode: the file's number in its file system; None as ``ctime_ns``.
    """

    size: int
    mtime_ns: int
    sha256: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    ctime_ns: int | None = None
    inode: int | None = None

    @property
    def span(self) -> Span:
        """The part of the file that is the clip."""
        return Span(self.start_seconds, self.end_seconds)

    @property
    def stamp(self) -> Stamp:
        """The file's size, times and number."""
        return Stamp(self.size, self.mtime_ns, self.ctime_ns, self.inode)

    def same_content(self, other: Source) -> bool:
        """Whether both are the same part of the same bytes."""
        return (
            self.size == other.size
            and self.sha256 == other.sha256
            and self.start_seconds == other.start_seconds
            and self.end_seconds == other.end_seconds
        )


def read_source(path: Path, span: Span = WHOLE_FILE, *, stamp: Stamp | None = None) -> Source:
    """Read a file through and return its source.

    Args:
        path: the file.
        span: the part of it that is the clip.
        stamp: of the file when it was first looked at; None: now.

    Raises:
        SourceChangedError: the file changed meanwhile.
        OSError: the file is missing, is no regular file, or can't be read.
    """
    started = time.time_ns()
    before = stamp or read_stamp(path)
    digest = digest_file(path)
    check_unchanged(path, before)
    size, mtime, ctime, inode = before
    if ctime is None or ctime > started - CLOCK_NS:
        ctime = inode = None
    return Source(size, mtime, digest, span.start, span.end, ctime, inode)


def read_stamp(path: Path) -> Stamp:
    """Return the size, times and number of a file; a link's are those of the file it leads to.

    Raises:
        OSError: the file is missing or is no regular file.
    """
    found = path.stat()
    # Reading a pipe or a device would block or never end.
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path} is not a regular file; a clip's source is one media file")
    inode = found.st_ino & (2**63 - 1)  # records hold signed numbers of 64 bits
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, inode)


def check_unchanged(path: Path, stamp: Stamp) -> None:
    """Make sure that a file is still as it was when it was first looked at.

    Raises:
        SourceChangedError: it isn't, or it is gone.
    """
    now: Stamp | None = None
    with contextlib.suppress(OSError):
        now = read_stamp(path)
    if now != stamp:
        raise SourceChangedError(
            f"{path} {'changed' if now else 'went away'} while it was read; wait until it is "
            "complete, then run the same command again"
        )

"""Check whether a clip's file still has the content that entries were made from.

All sets of a clip ask one ``SourceCheck``: the file is looked at once and hashed at most once.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from cache.entries.source import Source, Stamp, check_unchanged, read_source, read_stamp
from cache.entries.witness import WitnessError, read_witness, witness_path, write_witness
from cache.manifest.span import WHOLE_FILE, Span


class SourceCheck:
    """A clip's file as it was when it was first looked at, and its content.

    While size, times and inode are those that an entry states, so is the content. If any differs,
    the file is hashed, unless its witness in the cache says what hashing it found.

    Args:
        path: the clip's media file.
        span: the part of it that is the clip.
        cache: the cache that keeps the witness; None: none is kept.
        clip: the clip's id, needed with ``cache``.
        content: hash the file whatever its size and times say.
    """

    def __init__(
        self,
        path: Path,
        span: Span = WHOLE_FILE,
        *,
        cache: Path | None = None,
        clip: str = "",
        content: bool = False,
    ) -> None:
        self.path = path
        self.span = span
        self._cache = cache
        self._clip = clip
        self._content = content
        self._found: Source | None = None
        self._hashed = False  # and not yet remembered

    @cached_property
    def stamp(self) -> Stamp:
        """Size, times and inode of the file, as it was when this was first asked for.

        Raises:
            OSError: the file is missing or is no regular file.
        """
        return read_stamp(self.path)

    def same(self, source: Source) -> bool:
        """Whether the file has the content of ``source``, and the clip is the same part of it.

        Raises:
            SourceChangedError: the file changed while it was hashed.
            OSError: it is missing, is no regular file, or can't be read.
        """
        if source == self._found:
            return True  # as another set's entry states it
        if (self.stamp.size, self.span) != (source.size, source.span):
            return False
        if self._found is None and not self._content:
            self._found = self._vouch(source)
        same = self.read().same_content(source)
        if self._hashed and self.stamp != source.stamp:
            self._remember()
        return same

    def read(self) -> Source:
        """Return the file's source; it is hashed only if its content isn't known yet.

        Raises:
            SourceChangedError: the file changed while it was hashed.
            OSError: it is missing, is no regular file, or can't be read.
        """
        if self._found is None:
            self._found = read_source(self.path, self.span, stamp=self.stamp)
            self._hashed = True
        return self._found

    def confirm(self) -> None:
        """Make sure that the file is still the one that was first looked at.

        Raises:
            SourceChangedError: it isn't, or it is gone.
        """
        check_unchanged(self.path, self.stamp)

    def _vouch(self, source: Source) -> Source | None:
        """Return the file's source where its stamp or witness says that it is ``source``.

        A witness that says otherwise isn't believed: it could cost an extraction.
        """
        if self.stamp == source.stamp:
            return source
        if self._cache is None:
            return None
        try:
            found = read_witness(witness_path(self._cache, self._clip))
        except (OSError, WitnessError):
            return None
        if (found.stamp, found.sha256) != (self.stamp, source.sha256):
            return None
        return replace(found, start_seconds=self.span.start, end_seconds=self.span.end)

    def _remember(self) -> None:
        """Keep what the hash found; a cache that can't be written costs a hash a run."""
        self._hashed = False
        if self._cache is None or self._found is None or self._found.ctime_ns is None:
            return  # a file that had only just changed is not known by its times
        with contextlib.suppress(OSError):
            write_witness(witness_path(self._cache, self._clip), self._found)

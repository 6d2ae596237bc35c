"""Span: the part of a media file that is a clip."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a media file, from ``start`` to before ``end``, in seconds of the file's time.

    Args:
        start: where it starts; None: at the file's beginning.
        end: where it ends; None: at the file's end.
    """

    start: float | None = None
    end: float | None = None

    @property
    def begin(self) -> float:
        """The start as a number: 0 where it is the file's."""
        return self.start or 0.0

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole file."""
        return self.start is None and self.end is None


WHOLE_FILE = Span()

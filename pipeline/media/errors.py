"""What can go wrong with a clip, in terms a user understands."""

from __future__ import annotations


class MediaError(Exception):
    """A clip can't be used; the message is the reason."""


class NoVideoError(MediaError):
    """The file can be read, but holds no moving picture."""


class NoAudioError(MediaError):
    """The file can be read, but holds no sound."""


class SeekMissedError(Exception):
    """A seek landed behind the wanted time; decode from the beginning instead."""


def reason(error: BaseException) -> str:
    """Return an error's own words, without its number and the call it came from."""
    return getattr(error, "strerror", None) or str(error)

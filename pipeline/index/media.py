"""Choice among the files of one clip: video or sound, the best of them, the others left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline.index.files import AUDIO_SUFFIXES, Found, is_video

Media = Literal["best", "video", "audio"]

_BEST_FIRST = (".flv", ".mp4", ".wav", ".flac", ".mp3")


def is_wanted(path: Path, media: Media, found: Found) -> bool:
    """Tell whether a media file is of the kind asked for; leave it out with the reason if not."""
    if media == "video" and not is_video(path):
        found.leave_out(path, "sound only; see --media")
    elif media == "audio" and path.suffix.lower() not in AUDIO_SUFFIXES:
        found.leave_out(path, "video; see --media")
    else:
        return True
    return False


def take_best(paths: Sequence[Path], found: Found) -> Path:
    """Return the best file of a clip, video before sound, and leave out the others."""
    best = min(paths, key=_rank)
    found.leave_out_copies(paths, best)
    return best


def _rank(path: Path) -> tuple[bool, int, Path]:
    suffix = path.suffix.lower()
    rank = _BEST_FIRST.index(suffix) if suffix in _BEST_FIRST else len(_BEST_FIRST)
    return not is_video(path), rank, path

"""Names of the files that an answer is drawn into. Nothing here loads PyTorch, PyAV or OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SUFFIX = ".mp4"


def check_kind(path: Path) -> str:
    """Return the kind of picture that a file's name asks for: "png", "pdf" or "svg".

    Raises:
        ValueError: it ends in none of .png, .pdf and .svg.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "pdf", "svg"):
        raise ValueError(f"--plot {path}: expected a name that ends in .png, .pdf or .svg")
    return kind


def plan_films(output: Path, videos: Sequence[Path]) -> list[Path]:
    """Name the film of each video: the file itself, or one in a folder for each.

    Raises:
        ValueError: several videos are to go into one file, a name isn't an MP4's, or a film would
            take the place of a video.
    """
    if output.suffix.lower() == SUFFIX and not output.is_dir():
        if len(videos) > 1:
            raise ValueError(
                f"--video {output}: {len(videos)} videos are no one film; name a folder"
            )
        films = [output]
    elif output.suffix and not output.is_dir():
        raise ValueError(f"--video {output}: expected a name that ends in {SUFFIX}, or a folder")
    else:
        films = []
        for video in videos:  # two of one name are told apart
            number, name = 1, video.stem
            while output / f"{name}{SUFFIX}" in films:
                number += 1
                name = f"{video.stem}-{number}"
            films.append(output / f"{name}{SUFFIX}")
    sources = {video.resolve() for video in videos}
    for film in films:
        if film.resolve() in sources:
            raise ValueError(f"--video {output}: {film} is one of the videos; name another place")
    return films

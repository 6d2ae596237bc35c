"""Published corpora: defects known from their papers and issues, and takes of RAVDESS.

Clips are recognised by their names, wherever they lie. Apart from ``checks``, which knows no
corpus: what else is published of one is added here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cache.manifest.clip import Clip
from pipeline.index import crema_d, meld

# Modality, channel, emotion, intensity, statement, repetition, actor.
_RAVDESS = re.compile(r"0[123]-((?:\d\d-){5}\d\d)", re.ASCII)


def find_known_defects(clips: Sequence[Clip]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the known defects of a manifest's clips, each with the ids of the clips concerned."""
    names: dict[str, list[str]] = {}
    for clip in clips:
        for name in _names(clip):
            names.setdefault(name, []).append(clip.id)
    for corpus, defects in (("CREMA-D", crema_d.DEFECTS), ("MELD", meld.DEFECTS)):
        for name, defect in defects.items():
            if name in names:
                yield f"{corpus} {name}: {defect}", tuple(names[name])
    for pair in crema_d.SAME_SOUND:
        if all(name in names for name in pair):
            ids = tuple(clip for name in pair for clip in names[name])
            yield f"CREMA-D {' and '.join(pair)} have one sound", ids
    for name in meld.SUSPECTS:
        if name in names:
            yield f"MELD {name}: reported as cut wrongly", tuple(names[name])


def ravdess_take(clip: Clip) -> str:
    """Return the take of RAVDESS that a clip is, in whatever modality; empty if it is none."""
    match = _RAVDESS.fullmatch(clip.path.stem)
    return match[1] if match else ""


def _names(clip: Clip) -> set[str]:
    """Return the names under which a published corpus may know a clip."""
    names = {clip.id, clip.path.stem}
    for folder in clip.path.parts[:-1]:
        if folder in meld.FOLDERS:
            names.add(f"{meld.FOLDERS[folder]}_{clip.path.stem}")
    return names

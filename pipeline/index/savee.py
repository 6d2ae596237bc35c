"""SAVEE: four men, 15 sentences per emotion and 30 neutral, as video, sound or both.

``AudioVisualClip/DC/a01.avi`` and ``AudioData/DC/a01.wav``, or all sound in one folder as
``DC_a01.wav``. A video and the sound of its name are one take; one of them is taken.

Source:
    Haq & Jackson, "Speaker-Dependent Audio-Visual Emotion Recognition", AVSP 2009;
    http://kahlan.eps.surrey.ac.uk/savee/ (speakers, codes, 120 utterances each); flat names:
    the copies that public loaders read.
"""

from __future__ import annotations

import re
from pathlib import Path

from cache.manifest.clip import Clip
from pipeline.index.files import Found, walk_media
from pipeline.index.media import Media, is_wanted, take_best

SPEAKERS = ("DC", "JE", "JK", "KL")
EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}

_NAME = re.compile(r"(?:([A-Z]{2})_)?(a|d|f|h|n|sa|su)(\d\d)", re.ASCII)


def index_savee(root: Path, *, media: Media = "best", follow_links: bool = False) -> Found:
    """Index one file for each take; the id is like ``DC_a01``.

    Args:
        root: a folder that holds the files, at any depth.
        media: ``best``: video where a take has it, else sound; or only the kind named.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: ``root`` is not a folder.
    """
    found = Found(
        root,
        "AudioVisualClip/DC/a01.avi or AudioData/DC/a01.wav, as SAVEE has them",
        follow_links=follow_links,
    )
    takes: dict[str, list[Path]] = {}
    for path in walk_media(root, found):
        name = _NAME.fullmatch(path.stem)
        speaker = (name and name[1]) or path.parent.name
        if not name or speaker not in SPEAKERS:
            found.leave_out(path, "not named as a SAVEE take, <speaker>/<code><number>")
        elif is_wanted(path, media, found):
            takes.setdefault(f"{speaker}_{name[2]}{name[3]}", []).append(path)
    for take, paths in sorted(takes.items()):
        speaker, _, code = take.partition("_")
        label = EMOTIONS[code.rstrip("0123456789")]
        found.clips.append(Clip(take, take_best(paths, found), label=label, speaker=speaker))
    return found

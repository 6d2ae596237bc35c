"""EMO-DB, the Berlin database of emotional speech: ``wav/03a01Fa.wav``, sound without picture.

A name is the speaker (two digits), the sentence (a letter, two digits), the emotion (a letter of
its German word) and the version (a letter).

Source:
    Burkhardt, Paeschke, Rolfes, Sendlmeier, Weiss, "A database of German emotional speech",
    Interspeech 2005; http://emodb.bilderbar.info ("Additional Information": names, ten speakers,
    codes; 535 utterances).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cache.manifest.clip import Clip
from pipeline.index.files import Found, walk_media
from pipeline.index.media import take_best

EMOTIONS = {
    "W": "anger",  # Wut
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happiness",  # Freude
    "T": "sadness",  # Trauer
    "N": "neutral",
}

_NAME = re.compile(r"(03|08|09|1[0-6])[ab]\d\d([WLEAFTN])[a-z]", re.ASCII)


def index_emo_db(root: Path, *, follow_links: bool = False) -> Found:
    """Index one file for each utterance; its name is the id, and tells speaker and sentence.

    Args:
        root: a folder that holds the files, at any depth.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: ``root`` is not a folder.
    """
    found = Found(root, "wav/03a01Fa.wav, as EMO-DB publishes them", follow_links=follow_links)
    takes: dict[str, list[Path]] = {}
    for path in walk_media(root, found):
        if _NAME.fullmatch(path.stem):
            takes.setdefault(path.stem, []).append(path)
        else:
            found.leave_out(path, "not named as an EMO-DB utterance")
    for take, paths in sorted(takes.items()):
        clip = Clip(take, take_best(paths, found), label=EMOTIONS[take[5]], speaker=take[:2])
        found.clips.append(replace(clip, sentence=take[2:5]))
    if found.clips:
        found.notes.append("EMO-DB is sound without picture: train with fusion.kind=audio")
    return found

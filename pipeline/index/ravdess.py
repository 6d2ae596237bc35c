"""RAVDESS, in the published folders (Actor_NN, one zip an actor) or all takes in one folder.

A file is named by seven numbers: modality, channel, emotion, intensity, statement, repetition,
actor. Modalities 01 (sound and picture) and 03 (sound) of one take share one sound track, 01 and 02
(picture) one picture: to index both would put a take in training and test, so one is taken.

Source:
    Livingstone & Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song", PLoS ONE
    2018; names and folders: https://zenodo.org/record/1188976 ("File naming convention").
    That 03-01-03-01-02-02-07 and 03-01-03-01-02-01-07 are one file: found by comparing them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from cache.manifest.clip import Clip
from pipeline.index.files import Found, is_video, walk_media

Modality = Literal["best", "full-av", "video-only", "audio-only"]
Channel = Literal["speech", "song", "both"]

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
MODALITIES = {"01": "full-av", "03": "audio-only", "02": "video-only"}  # the best one first
CHANNELS = {"01": "speech", "02": "song"}
NUM_ACTORS = 24

_NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-\d\d-(0[12])-\d\d-(\d\d)", re.ASCII)
# Two takes that are one file; both are one actor's and one emotion's, so no fold of speakers leaks.
_SAME_FILE = {"01-03-01-02-01-07", "01-03-01-02-02-07"}


def index_ravdess(
    root: Path,
    *,
    modality: Modality = "best",
    channel: Channel = "speech",
    follow_links: bool = False,
) -> Found:
    """Index one file for each take: speakers are the actors, ``1`` to ``24``; sentences are known.

    Args:
        root: a folder that holds the files, at any depth.
        modality: ``best``: for each take 01, where there is none 03, then 02; or one only.
        channel: which takes.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: ``root`` is not a folder.
    """
    found = Found(
        root,
        "files named 01-01-05-01-02-01-16.mp4, as RAVDESS publishes them",
        follow_links=follow_links,
    )
    takes: dict[str, list[tuple[int, bool, Path]]] = {}
    for path in walk_media(root, found):
        match = _NAME.fullmatch(path.stem)
        if not match or not _is_known(*match.group(1, 2, 3, 5)):
            found.leave_out(path, "not named as a RAVDESS take")
        elif channel not in ("both", CHANNELS[match[2]]):
            found.leave_out(path, f"a {CHANNELS[match[2]]} take; see --channel")
        elif modality not in ("best", MODALITIES[match[1]]):
            found.leave_out(path, f"{MODALITIES[match[1]]} ({match[1]}); see --modality")
        else:
            rank = list(MODALITIES).index(match[1])
            takes.setdefault(path.stem[3:], []).append((rank, not is_video(path), path))
    for take in sorted(takes, key=_by_actor):
        (_, _, best), *others = sorted(takes[take])
        for _, _, path in others:
            if path.stem == best.stem:
                found.leave_out_copies([path], best)
            else:
                found.leave_out(path, "shares sound or picture with a take that is in (a leak)")
        actor, emotion = int(take[-2:]), EMOTIONS[take[3:5]]
        clip = Clip(best.stem, best, label=emotion, speaker=str(actor))
        found.clips.append(replace(clip, sentence=SENTENCES[take[9:11]]))
    _warn_of_mixture(found)
    if takes.keys() >= _SAME_FILE:
        found.warnings.append(
            "happy takes ...-02-01-07 and ...-02-02-07 are one and the same recording, twice"
        )
    return found


def _is_known(modality: str, channel: str, emotion: str, actor: str) -> bool:
    return (
        modality in MODALITIES
        and channel in CHANNELS
        and emotion in EMOTIONS
        and 1 <= int(actor) <= NUM_ACTORS
    )


def _by_actor(take: str) -> tuple[str, str]:
    return take[-2:], take


def _warn_of_mixture(found: Found) -> None:
    kinds = sorted({MODALITIES[clip.id[:2]] for clip in found.clips})
    if len(kinds) > 1:
        found.warnings.append(f"takes of several modalities: {', '.join(kinds)}; see --modality")

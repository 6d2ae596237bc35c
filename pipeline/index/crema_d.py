"""CREMA-D: 7,442 takes of 91 actors named like ``1001_DFA_ANG_XX.flv``.

Actor, sentence, acted emotion, level. The repository holds each take as VideoFlash/*.flv,
AudioWAV/*.wav and AudioMP3/*.mp3, which share one sound track; one of them is taken.

Source:
    Cao et al., "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset", IEEE TAC 2014;
    https://github.com/CheyneyComputerScience/CREMA-D, README ("Filename labeling conventions").
    The four broken takes are those that users of the corpus skip by its README; that three pairs of
    takes with different emotions have the same sound was found, independently, by comparing files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from cache.manifest.clip import Clip
from pipeline.index.files import AUDIO_SUFFIXES, Found, describe_names, is_video, walk_media

Media = Literal["best", "video", "audio"]

EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
DEFECTS = {
    "1064_IEO_DIS_MD": "61 s long, with every emotion of the sentence",
    "1064_TIE_SAD_XX": "next to no content",
    "1076_MTI_NEU_XX": "next to no content",
    "1076_MTI_SAD_XX": "silent and without a face",
}
SAME_SOUND = (
    ("1006_TIE_HAP_XX", "1006_TIE_NEU_XX"),
    ("1013_WSI_DIS_XX", "1013_WSI_SAD_XX"),
    ("1017_IWW_ANG_XX", "1017_IWW_FEA_XX"),
)

# One take is published as 1040_ITH_SAD_X, with one X.
_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX?)", re.ASCII)
_BEST_FIRST = (".flv", ".mp4", ".wav", ".flac", ".mp3")


def index_crema_d(root: Path, *, media: Media = "best", keep_defects: bool = False) -> Found:
    """Index one file for each take; the speaker is the actor, the label the acted emotion.

    Args:
        root: the repository, or a folder of its files at any depth.
        media: ``best``: video where a take has it, else sound; or only the kind named.
        keep_defects: index the broken takes too.

    Raises:
        IndexingError: ``root`` is not a folder.
    """
    found = Found(root, "files named 1001_DFA_ANG_XX.flv, as CREMA-D publishes them")
    takes: dict[str, list[tuple[bool, int, Path]]] = {}
    for path in walk_media(root, found):
        match = _NAME.fullmatch(path.stem)
        if not match or match[3] not in EMOTIONS:
            found.leave_out(path, "not named as a CREMA-D take")
        elif path.stem in DEFECTS and not keep_defects:
            reason = DEFECTS[path.stem]
            found.leave_out(path, f"a known defect ({reason}); --keep-defects keeps it")
        elif media == "video" and not is_video(path):
            found.leave_out(path, "sound only; see --media")
        elif media == "audio" and path.suffix.lower() not in AUDIO_SUFFIXES:
            found.leave_out(path, "video; see --media")
        else:
            takes.setdefault(path.stem, []).append((not is_video(path), _rank(path), path))
    for take in sorted(takes):
        (_, _, best), *others = sorted(takes[take])
        found.leave_out_copies((path for _, _, path in others), best)
        actor, _, emotion = take.split("_")[:3]
        found.clips.append(Clip(take, best, label=EMOTIONS[emotion], speaker=actor))
    _warn(found)
    return found


def _rank(path: Path) -> int:
    suffix = path.suffix.lower()
    return _BEST_FIRST.index(suffix) if suffix in _BEST_FIRST else len(_BEST_FIRST)


def _warn(found: Found) -> None:
    ids = {clip.id for clip in found.clips}
    kept = [take for take in DEFECTS if take in ids]
    if kept:
        found.warnings.append(f"known defects kept: {describe_names(kept)}")
    pairs = [f"{a} and {b}" for a, b in SAME_SOUND if a in ids and b in ids]
    if pairs:
        found.warnings.append(
            f"takes with different labels and the same sound: {describe_names(pairs)}"
        )
    if any(is_video(clip.path) for clip in found.clips):
        sound_only = [clip.id for clip in found.clips if not is_video(clip.path)]
        if sound_only:
            found.warnings.append(
                f"{len(sound_only)} takes have sound only: {describe_names(sound_only)}"
            )

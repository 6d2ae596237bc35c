"""MEAD: ``M003/video/front/angry/level_1/001.mp4``, the sound apart in ``M003/audio/``.

Men are M003 ..., women W009 ...; seven views filmed at once, eight emotions at levels 1 to 3
(neutral has one). ``M003/audio/angry/level_1/001.m4a`` is the sound of all views of a take.

Source:
    Wang et al., "MEAD: A Large-scale Audio-visual Dataset for Emotional Talking-face Generation",
    ECCV 2020; https://github.com/uniBruce/Mead (layout). Its issue #9: views and emotions are
    missing of W017, M019 and M011; #12: equal numbers needn't be equal sentences.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

from cache.manifest.clip import Clip
from cache.wording import number_of
from pipeline.index.files import Found, describe_names, is_video, walk_media
from pipeline.index.media import is_wanted

View = Literal["front", "down", "top", "left_30", "left_60", "right_30", "right_60", "all"]

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")

# The archives are named video.tar and audio.tar, so that unpacking may double a folder's name.
_TAKE = re.compile(
    rf"(?:.*/)?([MW]\d{{3}})/(?:(?:video/)*({'|'.join(get_args(View)[:-1])})|(?:audio/)*audio)"
    rf"/({'|'.join(EMOTIONS)})/level_([123])/(\d{{1,4}})",
    re.ASCII,
)


def index_mead(
    root: Path,
    *,
    view: View = "front",
    media: Literal["video", "audio"] = "video",
    follow_links: bool = False,
) -> Found:
    """Index the takes of one view; the id is like ``M003-front-angry-level_1-001``.

    Args:
        root: a folder that holds the speakers' folders, at any depth, or one of these.
        view: the camera; ``all`` for every one.
        media: the videos, or the sound files.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: ``root`` is not a folder.
    """
    found = Found(
        root,
        "M003/video/front/angry/level_1/001.mp4, as MEAD publishes them",
        follow_links=follow_links,
    )
    speakers: set[str] = set()
    num_sounds = 0
    for path in walk_media(root, found):
        below = path.relative_to(root).with_suffix("").as_posix()
        take = _TAKE.fullmatch(f"{root.name}/{below}")
        if not take or is_video(path) != bool(take[2]):
            found.leave_out(path, "not <speaker>/video/<view>/<emotion>/level_<n>/<number>")
            continue
        speaker, camera, emotion, level, number = take.groups()
        speakers.add(speaker)
        num_sounds += camera is None
        if camera not in (None, view) and view != "all":
            found.leave_out(path, f"view {camera}; see --view")
        elif is_wanted(path, media, found):
            clip_id = f"{speaker}-{camera or 'audio'}-{emotion}-level_{level}-{number}"
            found.clips.append(Clip(clip_id, path, label=emotion, speaker=speaker))
    _warn(found, speakers, num_sounds, view, media)
    return found


def _warn(found: Found, speakers: set[str], num_sounds: int, view: View, media: str) -> None:
    if not found.clips:
        return
    without = sorted(speakers - {clip.speaker for clip in found.clips})
    if without:
        wanted = "sound" if media == "audio" else f"view {view}"
        found.warnings.append(
            f"{number_of(len(without), 'speaker')} with files, and none of {wanted}: "
            f"{describe_names(without)}"
        )
    if media == "video" and view == "all":
        found.warnings.append(
            "the views show the same takes: keep a speaker's clips together (--folds speaker:K)"
        )
    if media == "video" and num_sounds:
        found.notes.append(
            f"{number_of(num_sounds, 'sound file')} apart (audio/), and a clip is one file: for "
            "picture with sound put both into one, or index the sound with --media audio"
        )

"""IEMOCAP: utterances of dialogues between two actors, cut from the videos of the dialogues.

``SessionN/dialog/EmoEvaluation/Ses01F_impro01.txt`` has a line for each utterance with its start
and end in ``SessionN/dialog/avi/DivX/Ses01F_impro01.avi``, which shows both actors side by side,
and the label that most raters gave. ``SessionN/sentences/wav/`` has the sound of each utterance.

Source:
    Busso et al., "IEMOCAP: Interactive emotional dyadic motion capture database", Language
    Resources and Evaluation 2008 (raters, majority, ten actors in five sessions);
    https://sail.usc.edu/iemocap; folders and lines of the release as public loaders read them
    (https://github.com/CXianRen/AMST, Doc/dataset/IEMOCAP.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cache.manifest.clip import Clip
from cache.wording import number_of
from pipeline.index.files import (
    AUDIO_SUFFIXES,
    Found,
    IndexingError,
    is_video,
    nothing_found,
    walk,
)
from pipeline.index.media import Media
from pipeline.index.text_lines import read_lines

EMOTIONS = {
    "ang": "angry",
    "hap": "happy",
    "exc": "excited",
    "neu": "neutral",
    "sad": "sad",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgusted",
    "oth": "other",
}
NO_MAJORITY = "xxx"

_LINE = re.compile(
    r"\[(\d+\.?\d*) - (\d+\.?\d*)\]\s+((Ses0([1-5]))[FM]_\w+_([FM])\w{3})\s+(\w{3})\b", re.ASCII
)


@dataclass(frozen=True)
class _Utterance:
    """A line of an evaluation; times are seconds in the dialogue."""

    name: str
    speaker: str
    session: int
    code: str
    start: float
    end: float

    @property
    def dialog(self) -> str:
        return self.name.rpartition("_")[0]


def index_iemocap(root: Path, *, media: Media = "best", follow_links: bool = False) -> Found:
    """Index the utterances with a majority label; the id is the utterance's name.

    Speakers are ``Ses01F`` ... ``Ses05M``, ``fold`` is 0 to 4, that of the session. Papers that
    have four classes take excited for happy (``--map excited=happy``).

    Args:
        root: the folder of the release, or that of a session.
        media: ``video``: cuts of the dialogues' videos; ``audio``: the sentences' sound files;
            ``best``: the sound where a dialogue has no video.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: no evaluation is there, or one has an unknown label or an utterance twice.
    """
    found = Found(
        root,
        "Session1/dialog/EmoEvaluation/*.txt with dialog/avi/DivX/*.avi",
        follow_links=follow_links,
    )
    utterances: dict[str, _Utterance] = {}
    videos: dict[str, Path] = {}
    sounds: dict[str, Path] = {}
    for path in walk(root, found):
        if path.parent.name == "EmoEvaluation" and path.suffix == ".txt":
            _read_evaluation(path, utterances)
        elif is_video(path):
            videos.setdefault(path.stem, path)
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            sounds.setdefault(path.stem, path)
    if not utterances:
        raise nothing_found(found, {name: [path] for name, path in videos.items()})
    for name, utterance in sorted(utterances.items()):
        if utterance.code == NO_MAJORITY:
            found.leave_out(name, "no label that most raters gave (xxx)")
            continue
        clip = _make_clip(utterance, videos, sounds, media)
        if clip is None:
            wanted = {"best": "video or sound"}.get(media, media)
            found.leave_out(name, f"in an evaluation, but no {wanted} of it")
        elif utterance.end <= utterance.start:
            found.leave_out(name, "ends before it starts")
        else:
            found.clips.append(clip)
    dialogs = {utterance.dialog for utterance in utterances.values()}
    for name in sorted(videos.keys() - dialogs):
        found.leave_out(videos[name], "a video of no evaluated dialogue")
    _warn(found)
    return found


def _read_evaluation(path: Path, utterances: dict[str, _Utterance]) -> None:
    for number, line in read_lines(path):
        if not line.startswith("["):
            continue  # what single raters said
        match = _LINE.match(line)
        if not match:
            raise IndexingError(
                f"{path}, line {number}: expected [start - end], utterance and label, "
                f"got {line[:80]!r}"
            )
        start, end, name, session, session_number, sex, code = match.groups()
        if code not in EMOTIONS and code != NO_MAJORITY:
            raise IndexingError(
                f"{path}, line {number}: label {code!r} is none of {', '.join(EMOTIONS)}"
            )
        if name in utterances:
            raise IndexingError(f"{path}, line {number}: {name} is in the evaluations twice")
        utterances[name] = _Utterance(
            name, session + sex, int(session_number), code, float(start), float(end)
        )


def _make_clip(
    utterance: _Utterance, videos: dict[str, Path], sounds: dict[str, Path], media: Media
) -> Clip | None:
    video = videos.get(utterance.dialog) if media != "audio" else None
    path = video or (sounds.get(utterance.name) if media != "video" else None)
    if path is None:
        return None
    return Clip(
        utterance.name,
        path,
        label=EMOTIONS[utterance.code],
        speaker=utterance.speaker,
        fold=utterance.session - 1,
        start_seconds=utterance.start if video else None,
        end_seconds=utterance.end if video else None,
    )


def _warn(found: Found) -> None:
    cuts = [clip for clip in found.clips if clip.end_seconds is not None]
    if cuts:
        found.warnings.append(
            f"{number_of(len(cuts), 'clip')} cut from videos that show both actors side by side: "
            "the largest face needn't be the speaker's; look at `avfuse inspect faces`, choose by "
            "--overrides"
        )
    if cuts and len(cuts) < len(found.clips):
        found.warnings.append(
            f"{number_of(len(found.clips) - len(cuts), 'clip')} with sound only: "
            "no video of the dialogue"
        )

"""CREMA-D: 7,442 takes of 91 actors named like ``1001_DFA_ANG_XX.flv``.

Actor, sentence, acted emotion, level. The repository holds each take as VideoFlash/*.flv,
AudioWAV/*.wav and AudioMP3/*.mp3, which share one sound track; one of them is taken.

Some ten raters said of each take what they saw and heard, others what they heard without the
picture or saw without the sound. ``processedResults/tabulatedVotes.csv`` counts their answers, one
row for each way (``A,D,F,H,N,S,fileName``, the row's number 100000 times the way and the clip's);
``summaryTable.csv`` has the emotions with most votes alone, ties joined by colons.

Source:
    Cao et al., "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset", IEEE TAC 2014;
    https://github.com/CheyneyComputerScience/CREMA-D, README ("Filename labeling conventions",
    columns of the tables, numbers of the ways) and processedResults.
    The four broken takes are those that users of the corpus skip by its README; that three pairs of
    takes with different emotions have the same sound was found, independently, by comparing files.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from cache.manifest.clip import Clip
from cache.manifest.votes import Votes
from cache.wording import number_of
from pipeline.index.files import (
    Found,
    IndexingError,
    describe_names,
    is_video,
    read_columns,
    walk,
    walk_media,
)
from pipeline.index.media import Media, is_wanted, take_best

LabelTarget = Literal["acted", "crowd"]
Raters = Literal["audio-visual", "voice", "face"]

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
# By what the raters were shown: the number in tabulatedVotes.csv, the column of summaryTable.csv,
# and the name of such labels in the manifest.
_RATERS = {
    "voice": (1, "VoiceVote", "crowd-voice"),
    "face": (2, "FaceVote", "crowd-face"),
    "audio-visual": (3, "MultiModalVote", "crowd"),
}
_VOTES, _SUMMARY = "tabulatedVotes.csv", "summaryTable.csv"
_LETTERS = {code[0]: emotion for code, emotion in EMOTIONS.items()}


def index_crema_d(
    root: Path,
    *,
    media: Media = "best",
    label_target: LabelTarget = "acted",
    raters: Raters = "audio-visual",
    keep_defects: bool = False,
    follow_links: bool = False,
) -> Found:
    """Index one file for each take; the speaker is the actor, the sentence ``DFA`` ...

    Args:
        root: the repository, or a folder of its files at any depth.
        media: ``best``: video where a take has it, else sound; or only the kind named.
        label_target: ``acted``: the label is the emotion that was acted; ``crowd``: the one that
            most raters chose, with their votes where the tables have them. A take for which two
            emotions have most votes is left out.
        raters: of ``crowd``: those who saw and heard a take, or had its sound or picture alone.
        keep_defects: index the broken takes too.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: ``root`` is not a folder; ``crowd``, and there is no table of votes, or one
            that is not as published; ``raters`` without ``crowd``.
    """
    if label_target == "acted" and raters != "audio-visual":
        raise IndexingError(
            f"raters {raters} have no say in what was acted; add --label-target crowd"
        )
    found = Found(
        root,
        "files named 1001_DFA_ANG_XX.flv, as CREMA-D publishes them",
        follow_links=follow_links,
    )
    takes: dict[str, list[Path]] = {}
    for path in walk_media(root, found):
        match = _NAME.fullmatch(path.stem)
        if not match or match[3] not in EMOTIONS:
            found.leave_out(path, "not named as a CREMA-D take")
        elif path.stem in DEFECTS and not keep_defects:
            reason = DEFECTS[path.stem]
            found.leave_out(path, f"a known defect ({reason}); --keep-defects keeps it")
        elif is_wanted(path, media, found):
            takes.setdefault(path.stem, []).append(path)
    for take, paths in sorted(takes.items()):
        actor, sentence, emotion = take.split("_")[:3]
        clip = Clip(take, take_best(paths, found), label=EMOTIONS[emotion], speaker=actor)
        found.clips.append(replace(clip, label_target="acted", sentence=sentence))
    if label_target == "crowd":
        _label_by_crowd(found, raters)
    _warn(found)
    return found


def _label_by_crowd(found: Found, raters: Raters) -> None:
    """Give the clips the label that most raters chose, and their votes; leave out the others."""
    votes, name = _read_votes(found, raters)
    acted, found.clips = found.clips, []
    num_agreed = 0
    for clip in acted:
        counts = dict(votes.get(clip.id, ()))
        most = [label for label, count in counts.items() if count == max(counts.values())]
        if not counts:
            found.leave_out(clip.path, f"no votes in {name}")
        elif len(most) > 1:
            found.leave_out(clip.path, "most votes for several emotions (a tie)")
        else:
            num_agreed += most[0] == clip.label
            kept = votes[clip.id] if name == _VOTES else None
            target = _RATERS[raters][2]
            found.clips.append(replace(clip, label=most[0], label_target=target, votes=kept))
    if found.clips:
        found.notes.append(
            f"labels are what the crowd chose ({raters}); for {num_agreed} of {len(found.clips)} "
            "clips it is what was acted"
        )
    if found.clips and name == _SUMMARY:
        found.warnings.append(f"no {_VOTES}: labels are of {_SUMMARY}, and the clips have no votes")


def _read_votes(found: Found, raters: Raters) -> tuple[dict[str, Votes], str]:
    """Return the votes of each take, and the name of their table.

    ``summaryTable.csv`` names the emotions with most votes: each of them counts as one vote.
    """
    files = walk(found.root, replace(found, left_out={}))  # told of already
    names = {path.name: path for path in files if path.suffix == ".csv"}
    way, column, _ = _RATERS[raters]
    votes: dict[str, Votes] = {}
    if _VOTES in names:
        table = names[_VOTES]
        for line, (number, take, *counts) in read_columns(table, ("", "fileName", *_LETTERS)):
            if not all(text.isdecimal() and len(text) <= 9 for text in (number, *counts)):
                raise IndexingError(
                    f"{table}, line {line}: expected numbers of a row and of votes, got "
                    f"{', '.join((number, *counts))[:80]!r}"
                )
            if int(number) // 100_000 == way and any(map(int, counts)):
                pairs = zip(_LETTERS.values(), map(float, counts), strict=True)
                votes[take] = tuple(pair for pair in pairs if pair[1])
        return votes, _VOTES
    if _SUMMARY not in names:
        raise IndexingError(
            f"{found.root} has neither {_VOTES} nor {_SUMMARY}, which say what the crowd chose; "
            "give the folder of the repository, with processedResults, or use --label-target acted"
        )
    for line, (take, letters) in read_columns(names[_SUMMARY], ("FileName", column)):
        chosen = letters.split(":")
        if not set(chosen) <= _LETTERS.keys():
            raise IndexingError(
                f"{names[_SUMMARY]}, line {line}: expected letters of {', '.join(_LETTERS)}, got "
                f"{letters[:40]!r}"
            )
        votes[take] = tuple((_LETTERS[letter], 1.0) for letter in chosen)
    return votes, _SUMMARY


def _warn(found: Found) -> None:
    ids = {clip.id for clip in found.clips}
    kept = [take for take in DEFECTS if take in ids]
    if kept:
        found.warnings.append(f"known defects kept: {describe_names(kept)}")
    labels = {clip.id: clip.label for clip in found.clips}
    pairs = [
        f"{a} and {b}" for a, b in SAME_SOUND if a in ids and b in ids and labels[a] != labels[b]
    ]
    if pairs:
        found.warnings.append(
            f"takes with different labels and the same sound: {describe_names(pairs)}"
        )
    if any(is_video(clip.path) for clip in found.clips):
        sound_only = [clip.id for clip in found.clips if not is_video(clip.path)]
        if sound_only:
            found.warnings.append(
                f"{number_of(len(sound_only), 'take')} with sound only: "
                f"{describe_names(sound_only)}"
            )

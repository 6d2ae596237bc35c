"""MELD: three tables of utterances from Friends and one folder of clips per split.

``train_sent_emo.csv``, ``dev_sent_emo.csv`` and ``test_sent_emo.csv`` (``Speaker``, ``Emotion``,
``Dialogue_ID``, ``Utterance_ID``); clips ``dia0_utt0.mp4`` in ``train_splits``,
``dev_splits_complete`` and ``output_repeated_splits_test``. Dialogues are numbered anew per split.

Source:
    Poria et al., "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations",
    ACL 2019; https://github.com/declare-lab/MELD (README, data/MELD, utils/read_meld.py). Defects:
    its issues #39 (dia125_utt3), #22 (dia110_utt7), #20 (wrongly cut). That
    ``final_videos_test*.mp4`` are the corrected cuts: two public loaders, independently.
"""

from __future__ import annotations

import re
from pathlib import Path

from cache.manifest.clip import Clip
from cache.wording import number_of
from pipeline.index.files import (
    Found,
    IndexingError,
    describe_names,
    is_media,
    is_video,
    nothing_found,
    read_columns,
    walk,
)

SPLITS = {"train": "train", "dev": "val", "test": "test"}
FOLDERS = {
    "train_splits": "train",
    "dev_splits_complete": "dev",
    "dev_splits": "dev",
    "output_repeated_splits_test": "test",
    "test_splits": "test",
}
DEFECTS = {
    "train_dia125_utt3": "5 minutes long, wrongly cut or unreadable",
    "dev_dia110_utt7": "missing from the release",
}
# Reported as cut wrongly, and kept: without them a result is on other clips than the published.
SUSPECTS = ("train_dia309_utt0", "test_dia38_utt4", "test_dia220_utt0")

_TABLE = re.compile(r"(train|dev|test)_sent_emo\.csv")
_CLIP = re.compile(r"(final_videos_test)?dia(\d+)_utt(\d+)", re.ASCII)
_COLUMNS = ("Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)


def index_meld(root: Path, *, keep_defects: bool = False, follow_links: bool = False) -> Found:
    """Index the utterances of the tables; the id is like ``train_dia0_utt0``, ``dev`` becomes val.

    Speakers are as published. The published split shares the six friends between its
    parts, which the summary says.

    Args:
        root: the folder with the tables and the unpacked archives.
        keep_defects: index the known defects too, where their files are there.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: no table is there, or a row is not as published.
    """
    found = Found(
        root,
        "train_sent_emo.csv, train_splits/dia0_utt0.mp4, and so for dev and test",
        follow_links=follow_links,
    )
    tables: dict[str, Path] = {}
    files: dict[str, list[Path]] = {}
    for path in walk(root, found):
        table = _TABLE.fullmatch(path.name)
        clip = _CLIP.fullmatch(path.stem)
        subset = next((FOLDERS[name] for name in reversed(path.parts) if name in FOLDERS), None)
        if table:
            tables.setdefault(table[1], path)
        elif is_media(path) and clip and subset:
            files.setdefault(f"{subset}_dia{int(clip[2])}_utt{int(clip[3])}", []).append(path)
        elif is_media(path):
            found.leave_out(path, "not dia<number>_utt<number> in a folder of a split")
    if not tables:
        raise nothing_found(found, files)
    listed: set[str] = set()
    for subset in SPLITS:
        if subset in tables:
            _add_subset(found, subset, tables[subset], files, listed, keep_defects=keep_defects)
        else:
            found.warnings.append(f"no {subset}_sent_emo.csv; {subset} is not in")
    for name in sorted(files.keys() - listed):
        found.leave_out(files[name][0], "in no table")
    _warn(found)
    return found


def _add_subset(
    found: Found,
    subset: str,
    table: Path,
    files: dict[str, list[Path]],
    listed: set[str],
    *,
    keep_defects: bool,
) -> None:
    num_missing = 0
    for line, (speaker, emotion, dialogue, utterance) in read_columns(table, _COLUMNS):
        if not (_NUMBER.fullmatch(dialogue) and _NUMBER.fullmatch(utterance)):
            raise IndexingError(
                f"{table}, line {line}: expected numbers of dialogue and utterance, got "
                f"{dialogue[:40]!r} and {utterance[:40]!r}"
            )
        name = f"{subset}_dia{int(dialogue)}_utt{int(utterance)}"
        if name in listed:
            raise IndexingError(f"{table}, line {line}: {name} is in the table twice")
        listed.add(name)
        path = min(files.get(name, []), key=_best_first, default=None)
        if name in DEFECTS and (path is None or not keep_defects):
            found.leave_out(path or name, f"a known defect ({DEFECTS[name]})")
        elif path is None:
            num_missing += 1
            found.leave_out(name, f"listed in {table.name}, but no such file")
        else:
            found.leave_out_copies(files[name], path)
            found.clips.append(
                Clip(
                    name,
                    path,
                    label=emotion or None,
                    split=SPLITS[subset],
                    speaker=" ".join(speaker.split()) or None,
                )
            )
    if num_missing:
        found.warnings.append(f"{number_of(num_missing, 'clip')} of {table.name} without a file")


def _best_first(path: Path) -> tuple[bool, bool, str]:
    return not path.name.startswith("final_videos_test"), not is_video(path), str(path)


def _warn(found: Found) -> None:
    corrected = [clip.id for clip in found.clips if clip.path.name.startswith("final_videos")]
    if corrected:
        found.notes.append(
            f"{number_of(len(corrected), 'clip')} of test taken from the corrected files "
            f"final_videos_test*: {describe_names(corrected)}"
        )
    ids = {clip.id for clip in found.clips}
    suspects = [name for name in (*SUSPECTS, *DEFECTS) if name in ids]
    if suspects:
        found.warnings.append(f"reported as wrongly cut, and kept: {describe_names(suspects)}")

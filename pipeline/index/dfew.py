"""DFEW: single-labelled clips from films with five published folds.

``EmoLabel_DataSplit/{train,test}(single-labeled)/set_1.csv`` ... ``set_5.csv`` hold ``video_name``
(a number) and ``label`` (1 to 7); the clips are ``Clip/original/**/<number>.mp4``.

Source:
    Jiang et al., "DFEW: A Large-Scale Database for Recognizing Dynamic Facial Expressions in the
    Wild", ACM MM 2020; the release's README (version 1.0, 10/17/2020), which spells the folders
    ``(single_labeled)``; public loaders (MAE-DFER, HiCMAE) read ``(single-labeled)`` and
    the columns ``video_name,label``.
"""

from __future__ import annotations

import re
from pathlib import Path

from cache.manifest.clip import Clip
from pipeline.index.files import Found, IndexingError, is_video, nothing_found, read_columns, walk
from pipeline.index.sets import fold_sets, split_of, warn_of_missing

EMOTIONS = {
    "1": "happy",
    "2": "sad",
    "3": "neutral",
    "4": "angry",
    "5": "surprise",
    "6": "disgust",
    "7": "fear",
}

_TABLE = re.compile(r"(train|test) ?\(single[-_ ]labell?ed\)/(?:\1_)?set_([1-5])\.csv", re.I)


def index_dfew(root: Path, *, test_set: int | None = None, follow_links: bool = False) -> Found:
    """Index the single-labelled clips; ``fold`` is 0 to 4, that of the set that tests the clip.

    Args:
        root: the release's folder.
        test_set: 1 to 5, also fill ``split`` with that published set's training and test; None:
            no split, only folds.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: no table is there or they contradict each other.
    """
    found = Found(
        root,
        "EmoLabel_DataSplit/test(single-labeled)/set_1.csv ... set_5.csv and Clip/original/*.mp4",
        follow_links=follow_links,
    )
    tables: dict[tuple[str, int], Path] = {}
    videos: dict[int, list[Path]] = {}
    for path in walk(root, found):
        match = _TABLE.fullmatch("/".join(path.parts[-2:]))
        if match:
            tables.setdefault((match[1].lower(), int(match[2])), path)
        elif is_video(path) and _number(path.stem) is not None:
            videos.setdefault(int(path.stem), []).append(path)
    if not tables:
        raise nothing_found(found, videos)
    if test_set is not None and not {("train", test_set), ("test", test_set)} <= tables.keys():
        raise IndexingError(f"{root} lacks set_{test_set}.csv for training or for test")
    labels: dict[int, str] = {}
    members = {key: _read_set(path, labels) for key, path in sorted(tables.items())}
    folds = fold_sets(members, suffix=".csv")
    for number in sorted(labels):
        copies = videos.pop(number, [])
        if not copies:
            found.leave_out(f"{number:05d}", "in a split table, but no such clip")
            continue
        path = min(copies, key=_original_first)
        found.leave_out_copies(copies, path)
        split = split_of(number, members, test_set)
        found.clips.append(
            Clip(f"{number:05d}", path, label=labels[number], split=split, fold=folds.get(number))
        )
    warn_of_missing(found, members, len(labels), suffix=".csv")
    if found.clips and not any("original" in clip.path.parts for clip in found.clips):
        found.warnings.append("no clip is from Clip/original; other copies have no sound")
    for _, paths in sorted(videos.items()):
        found.leave_out(paths[0], "in no split table (not single-labelled)")
    return found


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None


def _original_first(path: Path) -> tuple[bool, str]:
    """Prefer the clips as published, with sound, to the silent crops made from them."""
    return "original" not in path.parts, str(path)


def _read_set(path: Path, labels: dict[int, str]) -> set[int]:
    """Return the clips of a table and add their labels to ``labels``."""
    members = set()
    for line, (name, label) in read_columns(path, ("video_name", "label")):
        number = _number(name.removesuffix(".mp4"))
        if number is None or label not in EMOTIONS:
            raise IndexingError(
                f"{path}, line {line}: expected a number and a label from 1 to 7, got "
                f"{name[:40]!r} and {label[:40]!r}"
            )
        if labels.setdefault(number, EMOTIONS[label]) != EMOTIONS[label]:
            raise IndexingError(
                f"{path}, line {line}: clip {number} is {EMOTIONS[label]} here and "
                f"{labels[number]} in another table"
            )
        members.add(number)
    return members

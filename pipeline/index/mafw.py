"""MAFW: clips from films and shows with five published folds, of single or compound emotions.

``Train & Test Set/single/no_caption/set_1/train.txt`` ... ``set_5/test.txt`` (``compound``
likewise) hold a clip and its label a line, ``00001.mp4 anger``; captions may follow. Compound
labels join emotions, such as ``anger_disgust``. The clips are ``data/clips/00001.mp4``.

Source:
    Liu et al., "MAFW: A Large-scale, Multi-modal, Compound Affective Database for Dynamic Facial
    Expression Recognition in the Wild", ACM MM 2022; https://github.com/MAFW-database/MAFW (README:
    clips, lines of the tables, 11 classes); the folders of the sets as public loaders read them
    (https://github.com/sunlicai/MAE-DFER, preprocess/mafw.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from cache.manifest.clip import Clip
from pipeline.index.files import Found, IndexingError, is_video, nothing_found, walk
from pipeline.index.sets import fold_sets, split_of, warn_of_missing
from pipeline.index.text_lines import read_lines

Annotation = Literal["single", "compound"]

EMOTIONS = (
    "anger",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
    "contempt",
    "anxiety",
    "helplessness",
    "disappointment",
)

_TABLE = re.compile(r"(?:.*/)?(single|compound|multi)/(?:[^/]+/)?set_([1-5])/(train|test)\.txt")


def index_mafw(
    root: Path,
    *,
    annotation: Annotation = "single",
    test_set: int | None = None,
    follow_links: bool = False,
) -> Found:
    """Index the clips of the sets; ``fold`` is 0 to 4, that of the set that tests the clip.

    Args:
        root: the release's folder.
        annotation: the sets of single or of compound emotions.
        test_set: 1 to 5, also fill ``split`` with that published set's training and test; None:
            no split, only folds.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: no table is there, a line is not as published or tables contradict each
            other.
    """
    found = Found(
        root,
        f"{annotation}/no_caption/set_1/train.txt ... and clips/00001.mp4",
        follow_links=follow_links,
    )
    tables: dict[tuple[str, int], Path] = {}
    videos: dict[str, list[Path]] = {}
    for path in walk(root, found):
        match = _TABLE.fullmatch(found.relative(path))
        if match and (match[1] == "single") == (annotation == "single"):
            tables.setdefault((match[3], int(match[2])), path)
        elif is_video(path):
            videos.setdefault(path.stem, []).append(path)
    if not tables:
        raise nothing_found(found, videos)
    if test_set is not None and not {("train", test_set), ("test", test_set)} <= tables.keys():
        raise IndexingError(f"{root} lacks set_{test_set} for training or for test")
    labels: dict[str, str] = {}
    members = {key: _read_set(path, labels) for key, path in sorted(tables.items())}
    folds = fold_sets(members)
    for name, label in sorted(labels.items()):
        paths = videos.pop(name, [])
        if not paths:
            found.leave_out(name, "in a table of the sets, but no such clip")
            continue
        path = min(paths, key=lambda path: ("clips" not in path.parts, path))
        found.leave_out_copies(paths, path)
        split = split_of(name, members, test_set)
        found.clips.append(Clip(name, path, label=label, split=split, fold=folds.get(name)))
    warn_of_missing(found, members, len(labels))
    for _, paths in sorted(videos.items()):
        found.leave_out(paths[0], f"in no table of {annotation} emotions")
    return found


def _read_set(path: Path, labels: dict[str, str]) -> set[str]:
    """Return the clips of a table and add their labels to ``labels``."""
    members = set()
    for number, line in read_lines(path):
        file, label, *_ = [*line.split(maxsplit=2), "", ""]
        name = file.removesuffix(".mp4")
        if not name or not label or not set(label.split("_")) <= set(EMOTIONS):
            raise IndexingError(
                f"{path}, line {number}: expected a clip and its emotion, such as "
                f"'00001.mp4 anger', got {line[:60]!r}"
            )
        if labels.setdefault(name, label) != label:
            raise IndexingError(
                f"{path}, line {number}: clip {name} is {label} here and {labels[name]} in "
                "another table"
            )
        members.add(name)
    return members

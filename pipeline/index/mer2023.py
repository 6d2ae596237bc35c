"""MER 2023: ``train-label.csv``, ``test1-label.csv`` ... beside folders of the same names.

The tables hold ``name``, ``discrete`` (neutral, angry, happy, sad, worried, surprise) and
``valence``; a clip is ``train/<name>.avi`` or ``.mp4``. test1 is MER-MULTI, test2 MER-NOISE (with
noise added), test3 MER-SEMI, whose folder also holds the unlabelled clips.

Source:
    Lian et al., "MER 2023: Multi-label Learning, Modality Robustness, and Semi-Supervised
    Learning", ACM MM 2023; https://github.com/zeroQiaoba/MERTools (MER2023/README.md, and in
    MERBench normalize_dataset_format, which reads these tables and writes ``label-6way.npz``, a
    pickle in a npz); public code that names the archives' folders (mer2023train, test-labels).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cache.manifest.clip import Clip
from cache.wording import number_of
from pipeline.index.files import Found, IndexingError, is_media, nothing_found, read_columns, walk

SUBSETS = ("train", "test1", "test2", "test3")

_TABLE = re.compile(r"(train|test[123])-label\.csv")
_PICKLES = (".npz", ".npy", ".pkl", ".pickle")


def index_mer2023(
    root: Path, *, subsets: Sequence[str] = SUBSETS, follow_links: bool = False
) -> Found:
    """Index the labelled clips; ``train`` is training, the three test sets are test.

    Args:
        root: the folder with the unpacked archives.
        subsets: which of ``train``, ``test1``, ``test2`` and ``test3`` to index.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: no label table is there, or one is unreadable or contradicts another.
    """
    found = Found(
        root,
        "train-label.csv (columns name, discrete) and train/<name>.avi",
        follow_links=follow_links,
    )
    tables: dict[str, Path] = {}
    files: dict[str, list[Path]] = {}
    pickles: list[Path] = []
    for path in walk(root, found):
        match = _TABLE.fullmatch(path.name)
        if match:
            tables.setdefault(match[1], path)
        elif is_media(path):
            files.setdefault(path.stem, []).append(path)
        elif path.suffix.lower() in _PICKLES and "label" in path.name.lower():
            pickles.append(path)
    if not tables and pickles:
        raise IndexingError(
            f"{root} has no train-label.csv, and {pickles[0].name} is a pickle, which can run code "
            "and is never opened here: give the folder of the release, which has the tables, or "
            "write the labels to a CSV with path and label and use `avfuse index csv`"
        )
    if not tables:
        raise nothing_found(found, files)
    listed: dict[str, str] = {}
    for subset in SUBSETS:
        if subset not in tables:
            if subset in subsets:
                found.warnings.append(f"no {subset}-label.csv; {subset} is not in")
            continue
        _add_subset(found, subset, tables[subset], files, listed, wanted=subset in subsets)
    for name in sorted(files.keys() - listed.keys()):
        found.leave_out(files[name][0], "in no label table (unlabelled)")
    return found


def _add_subset(
    found: Found,
    subset: str,
    table: Path,
    files: dict[str, list[Path]],
    listed: dict[str, str],
    *,
    wanted: bool,
) -> None:
    num_missing = 0
    for line, (name, label) in read_columns(table, ("name", "discrete")):
        if name in listed:
            raise IndexingError(f"{table}, line {line}: {name!r} is already in {listed[name]}")
        listed[name] = f"{table.name}, line {line}"
        if not wanted:
            found.leave_out(name, f"in {subset}, which was not asked for")
            continue
        copies = files.get(name)
        if not copies:
            num_missing += 1
            found.leave_out(name, f"listed in {table.name}, but no such file")
            continue
        path = min(copies, key=lambda path: (path.parent.name != subset, str(path)))
        found.leave_out_copies(copies, path)
        split = "train" if subset == "train" else "test"
        found.clips.append(Clip(name, path, label=label or None, split=split))
    if num_missing:
        found.warnings.append(f"{number_of(num_missing, 'clip')} of {table.name} without a file")

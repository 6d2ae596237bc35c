"""CH-SIMS and CH-SIMS v2: ``label.csv`` (v2: ``meta.csv``) and ``Raw/video_0001/0001.mp4``.

The tables hold ``video_id``, ``clip_id``, ``label`` (-1 to 1), ``label_T``, ``label_A``,
``label_V`` (of the words, the sound and the picture alone), ``annotation`` and ``mode`` (train,
valid, test).

Source:
    Yu et al., "CH-SIMS: A Chinese Multimodal Sentiment Analysis Dataset with Fine-grained
    Annotation of Modality", ACL 2020 (labels of each modality, their sign); Liu et al., "Make
    Acoustic and Visual Cues Matter: CH-SIMS v2.0", ICMI 2022; https://github.com/thuiar/MMSA and
    https://github.com/thuiar/ch-sims-v2 (tables); public loaders, which pad ``clip_id``.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Literal

from cache.manifest.clip import SPLIT_NAMES, Clip
from cache.wording import number_of
from pipeline.index.files import (
    Found,
    IndexingError,
    describe_names,
    is_video,
    nothing_found,
    read_columns,
    walk,
)

Annotation = Literal["multimodal", "text", "audio", "video"]

COLUMNS = {"multimodal": "label", "text": "label_T", "audio": "label_A", "video": "label_V"}

_TABLE = re.compile(r"(?:label|meta)(?:\(s\)|s)?\.csv", re.I)


def index_ch_sims(
    root: Path, *, annotation: Annotation = "multimodal", follow_links: bool = False
) -> Found:
    """Index the clips of the table; the id is like ``video_0001-0001``.

    The label is the sign of the annotation: Negative, Neutral or Positive, as the table's column
    ``annotation`` has it for all modalities together. CH-SIMS names no speakers.

    Args:
        root: the folder with the table and the videos.
        annotation: of all modalities together, or of what was read, heard or seen alone.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: no table is there, or a row is not as published.
    """
    found = Found(
        root,
        "label.csv or meta.csv (columns video_id, clip_id) and Raw/<video>/<clip>",
        follow_links=follow_links,
    )
    tables: list[Path] = []
    videos: dict[tuple[str, str], list[Path]] = {}
    for path in walk(root, found):
        if _TABLE.fullmatch(path.name):
            tables.append(path)
        elif is_video(path):
            videos.setdefault((path.parent.name, _number(path.stem)), []).append(path)
    if not tables:
        raise nothing_found(found, videos)
    table = tables[0]
    if len(tables) > 1:
        names = describe_names([found.relative(other) for other in tables])
        found.warnings.append(f"{len(tables)} tables of labels, the first is taken: {names}")
    _add_rows(found, table, videos, annotation)
    for paths in videos.values():
        for path in paths:
            found.leave_out(path, f"not in {table.name}")
    return found


def _add_rows(
    found: Found, table: Path, videos: dict[tuple[str, str], list[Path]], annotation: Annotation
) -> None:
    listed: dict[tuple[str, str], int] = {}
    modes: dict[str, list[str]] = {}
    num_missing = 0
    columns = ("video_id", "clip_id", "mode", COLUMNS[annotation])
    for line, (video, clip, mode, value) in read_columns(table, columns):
        key, clip_id = (video, _number(clip)), f"{video}-{clip}"
        if listed.setdefault(key, line) != line:
            raise IndexingError(f"{table}, line {line}: {clip_id} is on line {listed[key]} too")
        label = _sign(value, f"{table}, line {line}")
        paths = videos.pop(key, [])
        if not paths:
            num_missing += 1
            found.leave_out(clip_id, f"listed in {table.name}, but no such file")
            continue
        path = min(paths, key=lambda path: ("Raw" not in path.parts, path))
        found.leave_out_copies(paths, path)
        split = SPLIT_NAMES.get(mode.casefold())
        if split is None:
            modes.setdefault(mode, []).append(clip_id)
        target = None if annotation == "multimodal" else f"{annotation} alone"
        # By the file: a spreadsheet program makes 1 of the table's 0001.
        name = f"{video}-{path.stem}"
        found.clips.append(Clip(name, path, label=label, split=split, label_target=target))
    if num_missing:
        found.warnings.append(f"{number_of(num_missing, 'clip')} of {table.name} without a file")
    for mode, names in modes.items():
        found.warnings.append(
            f"{number_of(len(names), 'clip')} of mode {mode!r}, which is no split: "
            f"{describe_names(names)}"
        )


def _number(name: str) -> str:
    """Return a clip's number without the zeros in front; tables and files pad it differently."""
    return name.lstrip("0") or "0" if name.isdecimal() else name


def _sign(value: str, where: str) -> str | None:
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not -1 <= number <= 1:
        raise IndexingError(f"{where}: expected a label from -1 to 1, got {value[:40]!r}")
    return "Negative" if number < 0 else "Positive" if number > 0 else "Neutral"

"""Export as the feature file of MMSA and MMSA-FET: a pickle of a dict per split.

MMSA reads nothing else. avfuse writes it, of built-in types and NumPy arrays alone, and never reads
one. Per split (``train``, ``valid``, ``test``), over its N clips:

- ``id``, ``raw_text``: lists of text; there is no transcript, so ``raw_text`` is empty.
- ``audio``, ``vision``: (N, T, D) float32, padded at the end with zeros to the longest clip of all
  splits; ``audio_lengths``, ``vision_lengths``: lists of the real steps.
- ``text``: (N, 1, 1) zeros, as MMSA's loader wants the key.
- ``annotations``: the labels; ``classification_labels``: (N,) int64, their places among the sorted
  labels of all clips; ``regression_labels``: the same as float32: MMSA's loader reads only these.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from cache.commit import whole_file
from cache.wording import name_some, number_of
from pipeline.exchange.exported import Array, ClipFeatures, Export, ExportError, flat_rows
from pipeline.extract.choices import AUDIO_SETS, set_names
from pipeline.extract.weights import ALEXNET

SPLITS = {"train": "train", "val": "valid", "test": "test"}
SOUND: Final = (*AUDIO_SETS, ALEXNET)
MOST_BYTES = 16 << 30  # of the padded arrays, which MMSA holds in memory


def write_mmsa(export: Export, out: Path) -> str:
    """Write the labelled clips of the three splits.

    The array of a set of sound becomes ``audio``, that of a face network ``vision``; see
    ``_find_places`` for others. With one array alone the other modality is one zero a clip.

    Returns:
        What a user must know: that the file is a pickle, and which clips are left out.

    Raises:
        ExportError: no manifest, a split without a labelled clip, two arrays of one modality, or
            padded arrays of more than ``MOST_BYTES``.
        EntryError, OSError: see ``export_features``.
    """
    places = _find_places(export.arrays)
    rows = export.rows
    if rows is None:
        raise ExportError("--to mmsa needs labels and splits: pass --manifest")
    taken = [clip for clip in export.clips if rows[clip].label and rows[clip].split]
    left_out = sorted({*export.clips} - {*taken})
    of_split = {
        theirs: tuple(clip for clip in taken if rows[clip].split == ours)
        for ours, theirs in SPLITS.items()
    }
    if empty := [ours for ours, theirs in SPLITS.items() if not of_split[theirs]]:
        raise ExportError(
            f"MMSA wants labelled clips in train, val and test; there are none in "
            f"{', '.join(empty)}; fill in the manifest's column split"
        )
    longest = _check_size(export, taken)
    classes = sorted({rows[clip].label or "" for clip in taken})
    data = {
        name: _make_split(list(export.read(clips)), places, longest, classes)
        for name, clips in of_split.items()
    }
    with whole_file(out) as temporary, temporary.open("xb") as file:
        pickle.dump(data, file, protocol=4)
    told = f"a pickle, as MMSA wants it; labels are {', '.join(map(_number, enumerate(classes)))}"
    if left_out:
        told += (
            f"; {number_of(len(left_out), 'clip')} without a label or a split left out: "
            f"{name_some(left_out)}"
        )
    return told


def _number(pair: tuple[int, str]) -> str:
    return f"{pair[0]} {pair[1]}"


def _find_places(arrays: Sequence[Array]) -> dict[str, int]:
    """Say which array is ``audio`` and which ``vision``.

    Of sets that other tools made nobody knows: of two, the first is vision and the second audio,
    unless what is known of the other speaks against it.
    """
    kinds = [_find_kind(array) for array in arrays]
    if len(arrays) > 2 or (len(kinds) == 2 and kinds[0] == kinds[1] != ""):
        pairs = zip(arrays, kinds, strict=True)
        named = ", ".join(f"{array.column} ({kind or 'unknown'})" for array, kind in pairs)
        raise ExportError(f"MMSA holds one array of sound and one of faces, got {named}")
    turned = kinds[0] == "audio" or kinds[1:] == ["vision"]
    names = ("audio", "vision") if turned else ("vision", "audio")
    return {name: place for place, name in enumerate(names[: len(arrays)])}


def _find_kind(array: Array) -> str:
    """Say which modality an array is of; empty where its set doesn't tell."""
    spec = array.feature_set.spec
    if spec.name in SOUND:
        return "audio"
    return "vision" if "faces" in spec.upstream or spec.name in set_names() else ""


def _check_size(export: Export, clips: Sequence[str]) -> list[int]:
    """Return the steps of each array's longest clip, of padded arrays that aren't too large."""
    longest, total = [], 0
    for array, (_, shape) in zip(export.arrays, export.rows_like, strict=True):
        headers = array.feature_set.read_headers(clips).values()
        longest.append(max(1, *(header.steps for header in headers)))
        total += 4 * len(clips) * longest[-1] * math.prod(shape)
    if total > MOST_BYTES:
        raise ExportError(
            f"padded to the longest clip the arrays would take {total >> 30} GiB, more than MMSA "
            f"can hold in memory ({MOST_BYTES >> 30}); leave out the longest clips, or use --to hf"
        )
    return longest


def _make_split(
    found: Sequence[ClipFeatures],
    places: dict[str, int],
    longest: Sequence[int],
    classes: Sequence[str],
) -> dict[str, Any]:
    labels = [one.row.label or "" for one in found if one.row]
    numbers = np.array([classes.index(label) for label in labels], np.int64)
    split: dict[str, Any] = {
        "id": [one.clip for one in found],
        "raw_text": [""] * len(found),
        "text": np.zeros((len(found), 1, 1), np.float32),
        "annotations": labels,
        "classification_labels": numbers,
        "regression_labels": numbers.astype(np.float32),
    }
    for name in ("audio", "vision"):
        place = places.get(name)
        if place is None:
            split[name] = np.zeros((len(found), 1, 1), np.float32)
            split[f"{name}_lengths"] = [1] * len(found)
            continue
        own = [flat_rows(one.values[place]) for one in found]
        split[name] = np.zeros((len(own), longest[place], own[0].shape[1]), np.float32)
        for padded, values in zip(split[name], own, strict=True):
            padded[: len(values)] = values
        split[f"{name}_lengths"] = [len(values) for values in own]
    return split

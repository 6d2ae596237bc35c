"""Export: the arrays and clips that a form is written from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet
from cache.sets.main_array import number_names, row_times
from cache.version import own_version

PRIVATE = ("command", "host")  # of a set's provenance: what is exported may be published


class ExportError(ValueError):
    """An export that can't be made as asked for; names the set, array or clip."""


@dataclass(frozen=True)
class Array:
    """One array of a set, such as ``basic`` of ``resnet18``."""

    feature_set: FeatureSet
    name: str

    @property
    def column(self) -> str:
        """Name of its column in a table: ``resnet18_basic``, ``identity_crops_embedding``."""
        return f"{self.feature_set.spec.name}_{self.name.replace('/', '_')}"


@dataclass(frozen=True)
class ClipFeatures:
    """One clip of an export.

    Args:
        clip: its id.
        row: what the manifest says of it; None without a manifest.
        times: of each array, (T,) seconds of the steps of its set; of an array with one row for
            the whole clip, its middle.
        values: each array.
    """

    clip: str
    row: Clip | None
    times: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Export:
    """Content of an export: every array of every clip.

    Args:
        arrays: the arrays.
        clips: ids of the clips, in the order that they are written in.
        rows: clip id to row of the manifest; None without a manifest.
    """

    arrays: tuple[Array, ...]
    clips: tuple[str, ...]
    rows: Mapping[str, Clip] | None

    def read(self, clips: tuple[str, ...] | None = None) -> Iterator[ClipFeatures]:
        """Read clips, one after the other; None for all.

        Raises:
            ExportError: rows of an array have another shape or type than the first clip's.
            EntryError: an entry is damaged or lacks an array.
            OSError: it can't be read.
        """
        for clip in self.clips if clips is None else clips:
            found = self._read_clip(clip)
            for array, values, (dtype, shape) in zip(
                self.arrays, found.values, self.rows_like, strict=True
            ):
                if values.shape[1:] != shape or values.dtype != dtype:
                    raise ExportError(
                        f"{array.name} of clip {clip} has rows of {values.dtype} "
                        f"{values.shape[1:]}, and of clip {self.clips[0]} {dtype} {shape}; they "
                        "can't stand in one table"
                    )
            yield found

    @cached_property
    def rows_like(self) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
        """Type and shape of a row of each array, by the first clip."""
        first = self._read_clip(self.clips[0])
        return [(values.dtype, values.shape[1:]) for values in first.values]

    def number_names(self) -> list[str]:
        """Name the numbers in a row of the first array."""
        first = self.arrays[0]
        attributes = first.feature_set.read(self.clips[0], []).attributes
        return number_names(first.name, math.prod(self.rows_like[0][1]), attributes)

    def _read_clip(self, clip: str) -> ClipFeatures:
        entries = [
            array.feature_set.read(clip, ("times", array.name), verify=True)
            for array in self.arrays
        ]
        return ClipFeatures(
            clip,
            None if self.rows is None else self.rows[clip],
            tuple(
                row_times(array.name, entry["times"])
                for entry, array in zip(entries, self.arrays, strict=True)
            ),
            tuple(entry[array.name] for entry, array in zip(entries, self.arrays, strict=True)),
        )

    def describe(self) -> dict[str, Any]:
        """Say where the features come from, ready for JSON: sets with key, settings, weights."""
        return {
            "avfuse": own_version(),
            "columns": {array.column: array.feature_set.folder.name for array in self.arrays},
            "sets": {
                array.feature_set.folder.name: {
                    **array.feature_set.spec.to_json(),
                    "key": array.feature_set.spec.key,
                    "provenance": {
                        name: value
                        for name, value in array.feature_set.provenance.items()
                        if name not in PRIVATE
                    },
                }
                for array in self.arrays
            },
        }


def flat_rows(values: np.ndarray) -> np.ndarray:
    """Return (T, ...) as (T, D); also of a clip without a step."""
    return values.reshape(len(values), math.prod(values.shape[1:]))

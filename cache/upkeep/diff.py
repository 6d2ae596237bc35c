"""Diff: compare two sets of features, clip by clip and array by array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.codec import JsonFields
from cache.entries.entry import EntryError
from cache.sets.feature_set import FeatureSet, SetError, find_set, list_sets
from cache.sets.scan import check_cache
from cache.sets.spec import SPEC_FILE, explain_difference


@dataclass(frozen=True)
class ArrayDifference(JsonFields):
    """Comparison of one array of a clip.

    Args:
        array: its name.
        shapes: its shape in either set.
        cosine: cosine of the angle between the two arrays, each taken as one vector, in [-1, 1]; 1
            where both are equal; None where one is zero and the other isn't, or no values can be
            compared.
        largest: largest absolute difference between two values; None where they can't be compared.
        scale: largest absolute value in either, which ``largest`` is to be seen beside.
    """

    array: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    cosine: float | None
    largest: float | None
    scale: float


@dataclass(frozen=True)
class ClipDifference(JsonFields):
    """Comparison of a clip's two entries.

    Args:
        clip: its id.
        arrays: those that differ, in order of their names.
        same: names of those that are equal to the last bit.
        problem: why the entries can't be compared, or not in full; empty if they can.
        notes: what else differs, such as the file that they were made from.
    """

    clip: str
    arrays: tuple[ArrayDifference, ...] = ()
    same: tuple[str, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether every array is equal to the last bit."""
        return not self.arrays and not self.problem


@dataclass(frozen=True)
class SetDifference(JsonFields):
    """Comparison of two sets.

    Args:
        one: folder of the first.
        other: folder of the second.
        settings: what differs in what they are made with, a line each; empty for one key.
        clips: every clip that has an entry in both.
        only_one: clips with an entry in the first alone.
        only_other: in the second alone.
    """

    one: Path
    other: Path
    settings: tuple[str, ...]
    clips: tuple[ClipDifference, ...]
    only_one: tuple[str, ...]
    only_other: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether both hold the same clips with the same values."""
        return not (self.only_one or self.only_other) and all(clip.equal for clip in self.clips)


def pair_sets(
    one: Path, other: Path, names: Sequence[str] = ()
) -> list[tuple[FeatureSet, FeatureSet]]:
    """Pair the sets of two caches, or take two sets.

    Args:
        one: a cache, or a set's folder in one.
        other: the same. Beside a set, the set of that name is looked for in a cache.
        names: the sets to compare, of two caches; none: all that both have, those of one key
            first, then those whose name stands for one set in either.

    Raises:
        NotACacheError: a folder is neither.
        SetError: nothing can be paired; or a name stands for no set, or several.
        OSError: a cache can't be read.
    """
    sets = [
        FeatureSet.open(path) if (path / SPEC_FILE).is_file() else None for path in (one, other)
    ]
    for path, found in zip((one, other), sets, strict=True):
        if found is None:
            check_cache(path)
    first, second = sets
    if first or second:
        if names:
            raise SetError("name sets only beside two caches; a folder of a set is given already")
        name = (first or second).spec.name  # type: ignore[union-attr]  # one of them is a set
        return [(first or find_set(one, name), second or find_set(other, name))]
    if names:
        return [(find_set(one, name), find_set(other, name)) for name in names]
    pairs = list(_pair_all(list_sets(one), list_sets(other)))
    if not pairs:
        raise SetError(
            f"{one} and {other} have no set in common, by key or by a name that stands for one "
            "set in each; give the folders of two sets"
        )
    return pairs


def _pair_all(
    ones: Sequence[FeatureSet], others: Sequence[FeatureSet]
) -> Iterator[tuple[FeatureSet, FeatureSet]]:
    by_key = {item.spec.key: item for item in others}
    for item in ones:
        same = by_key.get(item.spec.key)
        alike = [other for other in others if other.spec.name == item.spec.name]
        alone = len(alike) == sum(one.spec.name == item.spec.name for one in ones) == 1
        if same or alone:
            yield item, same or alike[0]


def diff_sets(
    one: FeatureSet, other: FeatureSet, *, progress: Callable[[int, int], None] | None = None
) -> SetDifference:
    """Compare two sets, every bit of both verified; one clip at a time is in memory.

    Args:
        one: the first set.
        other: the second.
        progress: called with the number of clips compared and their total.

    Raises:
        OSError: a set can't be read.
    """
    mine, theirs = one.clip_ids(), other.clip_ids()
    both = sorted(set(mine) & set(theirs))
    clips: list[ClipDifference] = []
    for number, clip in enumerate(both):
        clips.append(_diff_clip(one, other, clip))
        if progress:
            progress(number + 1, len(both))
    specs = {item.spec.key: item.spec for place in (one, other) for item in list_sets(place.cache)}
    return SetDifference(
        one=one.folder,
        other=other.folder,
        settings=tuple(explain_difference(one.spec, other.spec, specs)),
        clips=tuple(clips),
        only_one=tuple(sorted(set(mine) - set(theirs))),
        only_other=tuple(sorted(set(theirs) - set(mine))),
    )


def _diff_clip(one: FeatureSet, other: FeatureSet, clip: str) -> ClipDifference:
    try:
        first, second = one.read(clip, verify=True), other.read(clip, verify=True)
    except FileNotFoundError:
        return ClipDifference(clip, problem="its entry was removed meanwhile")
    except EntryError as error:
        return ClipDifference(clip, problem=str(error))
    notes = []
    if not first.source.same_content(second.source):
        notes.append("made from other files, or other parts of them")
    if (first.state, first.missing) != (second.state, second.missing):
        said = [", ".join(entry.missing) or entry.state for entry in (first, second)]
        notes.append(f"{said[0]} -> {said[1]}")
    alone = [
        f"{', '.join(sorted(names))} only in the {where}"
        for where, names in (
            ("first", first.checksums.keys() - second.checksums.keys()),
            ("second", second.checksums.keys() - first.checksums.keys()),
        )
        if names
    ]
    names = sorted(set(first.checksums) & set(second.checksums))
    same = tuple(name for name in names if first.checksums[name] == second.checksums[name])
    arrays = [compare_arrays(name, first[name], second[name]) for name in names if name not in same]
    return ClipDifference(clip, tuple(arrays), same, "; ".join(alone), tuple(notes))


def compare_arrays(name: str, one: np.ndarray, other: np.ndarray) -> ArrayDifference:
    """Compare two arrays of finite numbers.

    Shapes (T steps, F the rest): ``one`` and ``other`` are (T, ...F); with other shapes there are
    no values to compare.
    """
    shapes = one.shape, other.shape
    a, b = (array.astype(np.float64).reshape(-1) for array in (one, other))
    scale = float(max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)))
    if one.shape != other.shape:
        return ArrayDifference(name, shapes, None, None, scale)
    largest = float(np.abs(a - b).max(initial=0.0))
    # Divided by the scale first: squares of large numbers would be infinite.
    a, b = a / (scale or 1.0), b / (scale or 1.0)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    cosine: float | None
    if lengths:
        cosine = float(np.clip(a @ b / lengths, -1.0, 1.0))
    else:
        cosine = 1.0 if largest == 0 else None
    return ArrayDifference(name, shapes, cosine, largest, scale)

"""Door of a cache for Python: its sets, clips and features, as arrays or as a table.

``import cache`` offers it. Reading changes nothing on disk and opens no video.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cache.entries.entry import TIMES, EntryState
from cache.manifest.manifest import Manifest, read_manifest
from cache.progress import Progress, shown_progress
from cache.sets.feature_set import FeatureSet, SetError, find_set, list_sets
from cache.sets.main_array import find_main_array, number_names, row_times
from cache.sets.scan import check_cache
from cache.settings import check_choice, check_counts, listed
from cache.upkeep.status import CacheStatus, read_status
from cache.upkeep.verify import VerifyReport, verify_cache
from cache.wording import name_some, number_of

if TYPE_CHECKING:
    import pandas as pd

_MOST_NAMED = 10


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """Features of one clip.

    Attributes:
        times: (T,) float64, seconds from the clip's start, increasing.
        arrays: name to array, (T, ...) each; ``tracks/...`` and ``crops/...``, which have a row per
            face, have a first axis of their own.
        state: ``ok``, or ``partial`` if something is missing.
        missing: what is missing, for a user.
    """

    times: NDArray[np.float64]
    arrays: Mapping[str, NDArray[Any]]
    state: EntryState
    missing: tuple[str, ...]

    def __repr__(self) -> str:
        arrays = [f"{name} {values.shape}" for name, values in self.arrays.items()]
        return (
            f"ClipFeatures({', '.join([number_of(len(self.times), 'step'), *arrays, self.state])})"
        )

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return one of the arrays.

        Raises:
            KeyError: there is none of that name; names those there are.
        """
        if name not in self.arrays:
            raise KeyError(f"no array {name!r}; there are {', '.join(self.arrays) or 'none'}")
        return self.arrays[name]


class Cache:
    """A cache that is there, to read from; ``open_cache`` opens it.

    Attributes:
        path: its folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        check_cache(self.path)

    def __repr__(self) -> str:
        return f"Cache({str(self.path)!r})"

    def sets(self) -> list[str]:
        """Name the feature sets, sorted.

        Returns:
            Names that the other calls take: ``resnet29``; where the cache has several of that name
            each with its key, ``resnet29-91c0de5e1f02a7b3``.

        Raises:
            OSError: the folder can't be read.

        Example:
            >>> cache.open_cache("CACHE").sets()
            ['faces', 'identity', 'logmel', 'resnet29']
        """
        found = list_sets(self.path)
        names = [item.spec.name for item in found]
        return [
            item.spec.name if names.count(item.spec.name) == 1 else item.folder.name
            for item in found
        ]

    def clips(self, name: str) -> list[str]:
        """Name the clips that have features in a set, sorted.

        Args:
            name: the set.

        Raises:
            SetError: there is no such set, or several.
            OSError: its folder can't be read.

        Example:
            >>> clips = cache.open_cache("CACHE").clips("resnet29")
        """
        return find_set(self.path, name).clip_ids()

    def failures(self, name: str) -> dict[str, str]:
        """Return why clips have no features in a set: clip id to the reason.

        Args:
            name: the set.

        Raises:
            SetError: there is no such set, or several.
            OSError: its folder can't be read.

        Example:
            >>> cache.open_cache("CACHE").failures("resnet29")
            {}
        """
        return {item.clip: item.reason for item in find_set(self.path, name).failures()}

    def features(
        self,
        name: str,
        clips: Iterable[str] | None = None,
        *,
        array: str | Sequence[str] | None = None,
        verify: bool = False,
    ) -> dict[str, ClipFeatures]:
        """Read the features of clips into memory.

        Args:
            name: the set.
            clips: ids; None: every clip that has features in the set.
            array: name of an array, or several; None: all.
            verify: compare every checksum of what is read.

        Returns:
            Clip id to features, in the order of ``clips``. Arrays keep the type that they are
            stored in.

        Raises:
            SetError: there is no such set, or several; or a clip has no features in it.
            EntryError: an entry is damaged, or has no such array; names those it has.
            ValueError: an id can't be one.
            OSError: something can't be read.

        Example:
            >>> features = cache.open_cache("CACHE").features("resnet29", array="basic")
            >>> for clip, found in features.items():
            ...     print(clip, found.times[-1], found["basic"].shape)
        """
        feature_set = find_set(self.path, name)
        wanted = None if array is None else listed(array)
        return _read(feature_set, _choose_clips(feature_set, clips), wanted, verify=verify)

    def table(
        self,
        name: str,
        clips: Iterable[str] | None = None,
        *,
        array: str | None = None,
        per: Literal["step", "clip"] = "step",
    ) -> pd.DataFrame:
        """Read the features of clips as a table, ready for pandas; needs the extra ``tables``.

        Args:
            name: the set.
            clips: ids; None: every clip that has features in the set.
            array: name of the array; None: the set's features, where there is one such array, or
                ``basic``.
            per: ``step``: a row per step. ``clip``: a row per clip, the mean over its steps.

        Returns:
            Columns ``clip``; ``time_seconds``, or ``steps`` with ``per="clip"``; and a column per
            number of a step: its name where the set names its numbers, as ``voice`` does, or ``v0``
            to ``v{D-1}``, of arrays with several axes in C order. Of a clip without a step there is
            no row, and with ``per="clip"`` a row of NaN.

        Raises:
            SetError: see ``features``; or it must be said which array; names them.
            EntryError, ValueError, OSError: see ``features``.
            ImportError: pandas is not installed.

        Example:
            >>> table = cache.open_cache("CACHE").table("resnet29")
            >>> table.groupby("clip")["v0"].mean()
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "a table needs pandas, which is not installed: pip install 'avfuse[tables]'"
            ) from error
        check_choice("per", per, ("step", "clip"))
        feature_set = find_set(self.path, name)
        chosen = _choose_clips(feature_set, clips)
        array = array or _main_array(feature_set)
        found = _read(feature_set, chosen, [array], verify=False)
        rows = [row_times(array, one.times) for one in found.values()]
        steps = [len(times) for times in rows]
        flat = [
            one[array].reshape(len(one[array]), math.prod(one[array].shape[1:]))
            for one in found.values()
        ]
        if any(len(one) != count for one, count in zip(flat, steps, strict=True)):
            raise SetError(
                f"{array} of {feature_set.folder.name} has rows of its own, not one a step; read "
                "it with features()"
            )
        key: dict[str, object]
        if per == "clip":
            key = {"clip": list(found), "steps": steps}
            flat = [_mean(one) for one in flat]
        else:
            key = {
                "clip": np.repeat(np.array(list(found), object), steps),
                "time_seconds": np.concatenate([np.zeros(0), *rows]),
            }
        width = max((one.shape[1] for one in flat), default=0)
        values = np.concatenate(
            [one for one in flat if one.shape[1] == width] or [np.zeros((0, 0))]
        )
        attributes = feature_set.read(chosen[0], []).attributes if chosen else {}
        columns = number_names(array, width, attributes)
        return pd.concat([pd.DataFrame(key), pd.DataFrame(values, columns=columns)], axis="columns")

    def status(self, manifest: str | Path | Manifest | None = None) -> CacheStatus:
        """Count the entries of every set by state, and say why a set looks stale.

        Args:
            manifest: table of the clips that should be there, to count those that are done, stale,
                failed and missing; their files need not be there.

        Raises:
            ManifestError: the manifest can't be used.
            OSError: something can't be read.

        Example:
            >>> cache.open_cache("CACHE").status("manifest.csv").healthy
            True
        """
        if manifest is not None and not isinstance(manifest, Manifest):
            manifest = read_manifest(manifest, check_files=False)
        return read_status(self.path, None if manifest is None else manifest.by_id)

    def verify(
        self,
        sets: Iterable[str] | None = None,
        *,
        remove: bool = False,
        jobs: int = 1,
        seconds: float | None = None,
        progress: bool = False,
    ) -> VerifyReport:
        """Read every file through and recompute its checksums.

        Args:
            sets: names of sets; None: all, and the packs.
            remove: remove damaged files, so that the next extraction makes them again.
            jobs: worker processes, from 1.
            seconds: time after which to stop; the next call goes on there. Not with ``sets``.
            progress: show on standard error how far it is.

        Raises:
            SetError: there is no such set, or several.
            ValueError: ``seconds`` and ``sets`` are both given, or ``jobs`` is below 1.
            OSError: something can't be read or written.

        Example:
            >>> cache.open_cache("CACHE").verify().damage
            ()
        """
        check_counts(jobs=jobs)
        chosen = None if sets is None else [find_set(self.path, name) for name in listed(sets)]
        with shown_progress(progress), Progress("files") as bar:
            return verify_cache(
                self.path,
                sets=chosen,
                remove=remove,
                jobs=jobs,
                seconds=seconds,
                progress=bar.show,
            )


def open_cache(path: str | Path) -> Cache:
    """Open a cache to read from it.

    Args:
        path: the folder that ``extract_features`` or ``avfuse extract`` wrote.

    Raises:
        NotACacheError: it doesn't exist, is no folder, or holds no feature set.
        OSError: it can't be read.

    Example:
        >>> found = cache.open_cache("CACHE")
        >>> found.sets()
        ['faces', 'identity', 'logmel', 'resnet29']
    """
    return Cache(path)


def _choose_clips(feature_set: FeatureSet, clips: Iterable[str] | None) -> list[str]:
    if clips is None:
        return feature_set.clip_ids()
    chosen = listed(clips)
    absent = [clip for clip in chosen if not feature_set.entry_path(clip).exists()]
    if absent:
        raise SetError(
            f"{number_of(len(absent), 'clip')} without an entry in {feature_set.folder}: "
            f"{name_some(absent, _MOST_NAMED)}; extract them, or leave them out"
        )
    return chosen


def _read(
    feature_set: FeatureSet, clips: Sequence[str], names: list[str] | None, *, verify: bool
) -> dict[str, ClipFeatures]:
    found = {}
    for clip in clips:
        wanted = None if names is None else list(dict.fromkeys([TIMES, *names]))
        entry = feature_set.read(clip, wanted, verify=verify)
        times = entry.arrays[TIMES]
        arrays = {
            name: values
            for name, values in entry.arrays.items()
            if name != TIMES or (names and TIMES in names)
        }
        found[clip] = ClipFeatures(times, arrays, entry.state, entry.missing)
    return found


def _main_array(feature_set: FeatureSet) -> str:
    clips = feature_set.clip_ids()
    if not clips:
        raise SetError(f"{feature_set.folder.name} has no entry; name the array")
    offered = list(feature_set.read(clips[0], []).checksums)
    main = find_main_array(offered)
    if main is None:
        raise SetError(
            f"{feature_set.folder.name} has the arrays {', '.join(offered)}; say which: "
            "array='NAME'"
        )
    return main


def _mean(values: np.ndarray) -> np.ndarray:
    if not len(values):
        return np.full((1, values.shape[1]), np.nan)
    mean: np.ndarray = values.mean(axis=0, dtype=np.float64, keepdims=True)
    return mean

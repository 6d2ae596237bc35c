"""Import features that were made elsewhere: check everything, then write an entry per clip."""

from __future__ import annotations

import platform
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cache.entries.failure import Failure
from cache.manifest.clip_id import as_clip_id
from cache.sets.feature_set import FeatureSet
from cache.sets.spec import SetSpec
from cache.settings import settings_to_dict
from pipeline.exchange.columns import Rows
from pipeline.exchange.settings import ImportRefusedError, ImportSettings
from pipeline.exchange.sources import FeatureSource, open_source


class ImportedSteps(NamedTuple):
    """What an entry gets: times (T,), values (T, D), and what it lacks."""

    times: NDArray[np.float64]
    values: NDArray[np.float32]
    missing: tuple[str, ...]


def make_steps(rows: Rows, settings: ImportSettings) -> ImportedSteps:
    """Give every row that is kept its time, in order.

    A single row without a time is a clip-level vector, at second 0.

    Returns:
        The steps; ``missing`` says so where no row is left.

    Raises:
        ValueError: rows without times, a time or feature that is nan or infinite or no float32,
            or rows at the same time that are to be refused.
    """
    times = _seconds(rows, settings)[rows.kept]
    untimed = np.count_nonzero(~np.isfinite(times))
    if untimed:
        raise ValueError(f"{untimed} of {len(times)} times are nan or infinite")
    with np.errstate(over="ignore"):  # found below
        values = rows.values[rows.kept].astype(np.float32)
    bad = np.logical_not(np.isfinite(values).all(axis=1))
    if bad.any():
        column = int(np.argmin(np.isfinite(values[bad][0])))
        raise ValueError(
            f"{int(bad.sum())} of {len(values)} rows have nan or inf (or too large for float32), "
            f"the first in feature {column}; leave those rows out by --where, or the column"
        )
    order = np.argsort(times, kind="stable")
    times, values = _merge(times[order], values[order], settings)
    if len(times):
        return ImportedSteps(times, values, ())
    kept = f" where {' and '.join(settings.where)}" if settings.where and len(rows.values) else ""
    return ImportedSteps(times, values, (f"no row in the source{kept}",))


def _seconds(rows: Rows, settings: ImportSettings) -> NDArray[np.float64]:
    count = len(rows.values)
    if rows.times is not None:
        return (rows.times - settings.first_frame) / (settings.rate or 1.0)
    if settings.rate is not None:
        return np.arange(count) / settings.rate
    if count > 1:
        raise ValueError(f"{count} rows without times; give --time-column, or --rate, or both")
    return np.zeros(count)


def _merge(
    times: NDArray[np.float64], values: NDArray[np.float32], settings: ImportSettings
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Leave one row at each time; ``times`` are sorted."""
    unique, first, counts = np.unique(times, return_index=True, return_counts=True)
    if len(unique) == len(times):
        return times, values
    if settings.same_time == "refuse":
        at = unique[np.argmax(counts > 1)]
        raise ValueError(
            f"{int(counts.max())} rows at the same time, {at:g} s first; choose one by --where "
            "(such as the number of the face), or pass --same-time mean or first"
        )
    if settings.same_time == "first":
        return unique, values[first]
    sums = np.add.reduceat(values.astype(np.float64), first, axis=0)
    return unique, (sums / counts[:, None]).astype(np.float32)


_SHOWN = 5


class Matches(NamedTuple):
    """Which id each clip has, which clips have none, and what contradicts itself."""

    ids: Mapping[str, str]
    missing: tuple[str, ...]
    problems: tuple[str, ...]


def match_ids(clips: Sequence[str], ids: Sequence[str], settings: ImportSettings) -> Matches:
    """Find each clip's id in a source.

    Without a pattern an id is the clip's own, or a text that escapes to it. With one, id and clip
    belong together if its groups say the same of both.

    Args:
        clips: ids of the clips.
        ids: those of the source.
        settings: with the patterns.

    Returns:
        The ids, and the problems: ids that stand for the same clip, clips that share an id, and
        a pattern that fits nothing.
    """
    problems: list[str] = []
    pattern = settings.id_pattern
    there = _by_name(ids, pattern)
    wanted = _by_name(clips, settings.clip_pattern or pattern)
    for who, texts, found in (("ids", ids, there), ("clips", clips, wanted)):
        if texts and not found:
            problems.append(f"the pattern fits none of the {len(texts)} {who}, {texts[0]!r} first")
    result: dict[str, str] = {}
    missing = set(clips) - {clip for owners in wanted.values() for clip in owners}
    for name, owners in wanted.items():
        candidates = there.get(name, [])
        if len(candidates) > 1:
            problems.append(f"clip {owners[0]}: {len(candidates)} ids: {_join(candidates)}")
        elif candidates and len(owners) > 1:
            problems.append(f"id {candidates[0]} belongs to {len(owners)} clips: {_join(owners)}")
        elif candidates:
            result[owners[0]] = candidates[0]
        else:
            missing.update(owners)
    return Matches(result, tuple(clip for clip in clips if clip in missing), tuple(problems))


def _by_name(texts: Iterable[str], pattern: str) -> dict[tuple[str, ...], list[str]]:
    """Texts by what a pattern captures of them, or by the clip id that they are."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for text in texts:
        if pattern:
            match = re.search(pattern, text)
            if match:
                found[tuple(group or "" for group in match.groups())].append(text)
            continue
        try:
            found[(as_clip_id(text),)].append(text)
        except ValueError:
            continue  # can't be a clip's id; it is counted among the ids without a clip
    return dict(found)


def _join(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_SHOWN]) + (", ..." if len(texts) > _SHOWN else "")


# Bumped by hand when the same source and settings start to yield other numbers.
VERSION = 1
ARRAY = "values"


@dataclass(frozen=True)
class ImportReport:
    """What became of an import.

    Args:
        folder: of the feature set.
        clips: how many have an entry now.
        fresh: how many of them were written now; the others were there.
        empty: clips without a row, whose entries are partial.
        missing: clips that the source lacks, recorded as failures.
        unused: ids of the source that belong to no clip.
        width: features a step.
    """

    folder: Path
    clips: int
    fresh: int
    empty: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    width: int


def import_features(
    cache: Path,
    name: str,
    path: Path,
    clips: Sequence[str],
    settings: ImportSettings,
    *,
    allow_missing: bool = False,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import a source as the feature set ``name`` with the array ``values`` (T, D).

    Everything is checked before anything is written. What is there already is kept.

    Args:
        cache: the cache's folder; made if it isn't there.
        name: the set's name.
        path: the source.
        clips: ids of the clips to import.
        settings: how the source is read.
        allow_missing: record a failure for clips that the source lacks, instead of refusing.
        command: the command line, for the provenance.
        progress: called with the number of clips done and their total.

    Raises:
        ImportRefusedError: something doesn't hold; every clip concerned is named.
        CacheWriteError: the cache can't be written.
        OSError: the source can't be read.
        ValueError: ``name`` can't name a set.
    """
    with open_source(path, settings) as source:
        spec = SetSpec(
            name=name,
            settings={**settings_to_dict(settings), "content": source.digest},
            version=VERSION,
        )
        matched, missing, conflicts = match_ids(clips, source.ids, settings)
        problems = list(conflicts)
        if not allow_missing:
            problems += [
                f"clip {clip} is not in it (--allow-missing records that)" for clip in missing
            ]
        width, bad = _check(source, matched, settings)
        if problems or bad:
            raise ImportRefusedError(str(path), [*problems, *bad])
        if not matched:
            raise ImportRefusedError(str(path), ["none of its ids belongs to a clip"])
        cache.mkdir(parents=True, exist_ok=True)
        provenance = _provenance(path, command)
        feature_set = FeatureSet(cache, spec).create(provenance)
        fresh = 0
        empty: list[str] = []
        for number, (clip, key) in enumerate(matched.items(), start=1):
            steps = make_steps(source.rows(key), settings)
            if steps.missing:
                empty.append(clip)
            if feature_set.trusted(clip, source.file(key)) is None:
                with feature_set.writer(
                    clip, source=source.source(key), provenance={**provenance, "id": key}
                ) as writer:
                    writer.append(times=steps.times, **{ARRAY: steps.values})
                    writer.finish(missing=steps.missing)
                fresh += 1
            if progress:
                progress(number, len(matched))
        for clip in missing:
            feature_set.record_failure(
                Failure(clip, "import", f"not in {path.name}", provenance=provenance)
            )
        used = set(matched.values())
        return ImportReport(
            folder=feature_set.folder,
            clips=len(matched),
            fresh=fresh,
            empty=tuple(empty),
            missing=missing,
            unused=tuple(key for key in source.ids if key not in used),
            width=width,
        )


def _check(
    source: FeatureSource, matched: Mapping[str, str], settings: ImportSettings
) -> tuple[int, list[str]]:
    """Read every clip once; return the number of features, and a line per clip refused."""
    problems: list[str] = []
    widths: dict[str, int] = {}
    for clip, key in matched.items():
        try:
            widths[clip] = make_steps(source.rows(key), settings).values.shape[1]
        except ImportRefusedError as error:
            problems += [f"clip {clip}: {problem}" for problem in error.problems]
        except ValueError as error:
            problems.append(f"clip {clip}: {error}")
    usual = Counter(widths.values()).most_common(1)
    width = usual[0][0] if usual else 0
    problems += [
        f"clip {clip}: {found} features, expected {width}, as most clips have"
        for clip, found in widths.items()
        if found != width
    ]
    return width, problems


def _provenance(path: Path, command: Sequence[str]) -> dict[str, Any]:
    return {
        "avfuse": version("avfuse"),
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in ("h5py", "numpy")},
        "host": platform.node(),
        "imported_from": str(path.resolve()),
        "command": list(command or sys.argv),
    }

"""Import features that were made elsewhere: check everything, then write an entry per clip."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cache.codec import fields_to_json
from cache.entries.failure import Failure
from cache.sets.feature_set import FeatureSet
from cache.sets.spec import SetSpec
from pipeline.exchange.matching import match_ids
from pipeline.exchange.settings import ImportRefusedError, ImportSettings
from pipeline.exchange.sources import FeatureSource, open_source
from pipeline.exchange.steps import make_steps

# Bumped by hand when the same source and settings start to yield other numbers.
VERSION = 1
ARRAY = "values"


@dataclass(frozen=True)
class ImportReport:
    """Result of an import: the clips by what became of them.

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
            settings={**fields_to_json(settings), "content": source.digest},
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

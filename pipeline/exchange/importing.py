"""Import features that were made elsewhere: match ids, check everything, write the entries."""

from __future__ import annotations

import platform
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cache.entries.failure import Failure
from cache.sets.feature_set import FeatureSet
from cache.sets.spec import CONTENT, SetSpec
from cache.version import own_version
from cache.wording import number_of
from pipeline.exchange.arrays import GIB
from pipeline.exchange.matching import match_ids, shorten
from pipeline.exchange.settings import ImportRefusedError, ImportSettings
from pipeline.exchange.sources import FeatureSource, open_source
from pipeline.exchange.steps import make_steps
from pipeline.extract.choices import set_names

# Bumped by hand when the same source and settings start to yield other numbers.
VERSION = 1
ARRAY = "values"


@dataclass(frozen=True)
class ImportReport:
    """Result of an import: what was read, and the clips by what became of them.

    Args:
        folder: of the feature set.
        clips: how many have an entry now.
        fresh: how many of them were written now; the others were there.
        steps: of each clip.
        names: of the features of a step.
        skipped: columns that hold no numbers.
        by_path: how many clips were found by the end of their path.
        empty: clips without a row, whose entries are partial.
        partial: clips whose entries lack something else, with what.
        notes: what is odd, and in how many clips.
        missing: clips that the source lacks, recorded as failures.
        unused: ids of the source that belong to no clip.
    """

    folder: Path
    clips: int
    fresh: int
    steps: Mapping[str, int]
    names: tuple[str, ...]
    skipped: tuple[str, ...]
    by_path: int
    empty: tuple[str, ...]
    partial: Mapping[str, str]
    notes: Mapping[str, int]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def width(self) -> int:
        """Features of a step."""
        return len(self.names)


def import_features(
    cache: Path,
    name: str,
    sources: Path | Sequence[Path],
    clips: Sequence[str],
    settings: ImportSettings,
    *,
    files: Mapping[str, Path] | None = None,
    allow_missing: bool = False,
    max_gib: float = 4.0,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import a source as the feature set ``name`` with the array ``values`` (T, D).

    Everything is checked before anything is written. What is there already is kept.

    Args:
        cache: the cache's folder; made if it isn't there.
        name: the set's name; not that of a set that avfuse makes.
        sources: the file or folder, or several files of one clip each.
        clips: ids of the clips to import.
        settings: how the source is read.
        files: the media file of each clip, by which a tool's layout may name it.
        allow_missing: record a failure for clips that the source lacks, instead of refusing.
        max_gib: memory, in GiB, that the arrays read at once may take.
        command: the command line, for the provenance.
        progress: called with the number of clips done and their total.

    Raises:
        ImportRefusedError: something doesn't hold; every clip concerned is named.
        CacheWriteError: the cache can't be written.
        OSError: the source can't be read.
        ValueError: ``name`` can't name a set.
    """
    paths = [sources] if isinstance(sources, Path) else list(sources)
    what = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    if name in set_names():
        raise ImportRefusedError(
            name,
            ["avfuse makes a set of this name itself, which yours would pass for; choose another"],
        )
    with open_source(paths, settings, int(max_gib * GIB)) as source:
        spec = SetSpec(
            name=name,
            settings={**settings.for_key(), CONTENT: source.digest},
            version=VERSION,
        )
        match = match_ids(clips, source.ids, settings, files)
        matched, missing = match.ids, match.missing
        problems = list(match.problems)
        if missing and not allow_missing:
            problems.append(
                f"{len(missing)} of {number_of(len(clips), 'clip')} are not in it "
                f"(--allow-missing records that): {shorten(missing)}"
            )
        found = _check(source, matched, settings)
        problems += _by_clip(found.problems)
        if not matched and not match.problems:
            problems = [f"none of its ids belongs to a clip; they are {shorten(source.ids)}"]
        if problems:
            raise ImportRefusedError(what, problems)
        provenance = _provenance(paths, command)
        feature_set = FeatureSet(cache, spec).create(
            {
                **provenance,
                "like": settings.like,
                "columns": list(found.usual),
                "skipped": list(found.skipped),
            }
        )
        fresh = 0
        for number, (clip, key) in enumerate(matched.items(), start=1):
            check = source.check(key)
            if feature_set.trusted(clip, check) is None:
                steps = make_steps(source.rows(key), settings)
                values = (
                    steps.values if len(steps.values) else np.empty((0, len(found.usual)), "f4")
                )
                with feature_set.writer(
                    clip,
                    source=check.read(),
                    provenance={**provenance, "id": key},
                    confirm=check.confirm,
                ) as writer:
                    writer.append(times=steps.times, **{ARRAY: values})
                    writer.finish(missing=steps.missing, attributes={"notes": list(steps.notes)})
                fresh += 1
            if progress:
                progress(number, len(matched))
        for clip in missing:
            feature_set.record_failure(
                Failure(clip, "import", f"not in {paths[0].name}", provenance=provenance)
            )
        used = set(matched.values())
        return ImportReport(
            folder=feature_set.folder,
            clips=len(matched),
            fresh=fresh,
            steps=found.steps,
            names=found.usual,
            skipped=tuple(found.skipped),
            by_path=match.by_path,
            empty=tuple(clip for clip, steps in found.steps.items() if not steps),
            partial={clip: why for clip, why in found.partial.items() if found.steps[clip]},
            notes=found.notes,
            missing=missing,
            unused=tuple(key for key in source.ids if key not in used),
        )


@dataclass
class _Checked:
    """Findings of a first reading: steps and columns of each clip, and the reasons to refuse."""

    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    steps: dict[str, int] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: dict[str, None] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    partial: dict[str, str] = field(default_factory=dict)
    usual: tuple[str, ...] = ()


def _check(source: FeatureSource, matched: Mapping[str, str], settings: ImportSettings) -> _Checked:
    """Read every clip once, and compare its columns with those of most clips."""
    found = _Checked()
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # one copy of names for all clips
    for clip, key in matched.items():
        try:
            rows = source.rows(key)
            steps = make_steps(rows, settings)
        except ImportRefusedError as error:
            for problem in error.problems:
                found.problems[problem].append(clip)
            continue
        except ValueError as error:
            found.problems[str(error)].append(clip)
            continue
        found.steps[clip] = len(steps.times)
        found.names[clip] = shared.setdefault(rows.names, rows.names)
        found.skipped |= dict.fromkeys(rows.skipped)
        found.notes.update(steps.notes)
        if steps.missing:
            found.partial[clip] = "; ".join(steps.missing)
    full = [names for clip, names in found.names.items() if found.steps[clip]]
    counts = Counter(full or found.names.values())
    # Of equals the one with most features: the others lack some.
    found.usual = max(counts, key=lambda names: (counts[names], len(names)), default=())
    for clip, names in found.names.items():
        if found.steps[clip] and names != found.usual:
            found.problems[_difference(names, found.usual)].append(clip)
    return found


def _difference(names: Sequence[str], usual: Sequence[str]) -> str:
    lacking = [name for name in usual if name not in names]
    others = [name for name in names if name not in usual]
    text = f"{number_of(len(names), 'feature')}, expected {len(usual)}, as most clips have"
    if lacking:
        text += f"; it lacks {shorten(lacking)}"
    if others:
        text += f"; it has {shorten(others)}"
    return text if lacking or others else "its columns have another order than those of most clips"


def _by_clip(problems: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each problem, with the clips that have it."""
    return [
        f"clip {clips[0]}: {problem}"
        if len(clips) == 1
        else f"{len(clips)} clips ({shorten(clips)}): {problem}"
        for problem, clips in problems.items()
    ]


def _provenance(paths: Sequence[Path], command: Sequence[str]) -> dict[str, Any]:
    return {
        "avfuse": own_version(),
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in ("h5py", "numpy")},
        "host": platform.node(),
        "imported_from": str(paths[0].resolve())
        if len(paths) == 1
        else [str(p.resolve()) for p in paths],
        "command": list(command or sys.argv),
    }

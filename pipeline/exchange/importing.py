"""Import features that were made elsewhere: match ids, check everything, write the entries."""

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

from cache.codec import fields_to_json
from cache.entries.failure import Failure
from cache.manifest.clip_id import as_clip_id
from cache.sets.feature_set import FeatureSet
from cache.sets.spec import SetSpec
from cache.version import own_version
from pipeline.exchange.settings import ImportRefusedError, ImportSettings
from pipeline.exchange.sources import FeatureSource, open_source
from pipeline.exchange.steps import make_steps

# Bumped by hand when the same source and settings start to yield other numbers.
VERSION = 1
ARRAY = "values"
MAX_SHOWN = 5  # ids that a message names


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


class Matches(NamedTuple):
    """Ids of the clips, the clips without one, and what contradicts itself."""

    ids: Mapping[str, str]
    missing: tuple[str, ...]
    problems: tuple[str, ...]


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
    return ", ".join(texts[:MAX_SHOWN]) + (", ..." if len(texts) > MAX_SHOWN else "")


def _provenance(path: Path, command: Sequence[str]) -> dict[str, Any]:
    return {
        "avfuse": own_version(),
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in ("h5py", "numpy")},
        "host": platform.node(),
        "imported_from": str(path.resolve()),
        "command": list(command or sys.argv),
    }

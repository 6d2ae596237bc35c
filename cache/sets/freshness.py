"""Freshness: compare entries that are there with the manifest, the files and each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cache.entries.entry import EntryHeader
from cache.entries.source import Source, SourceChangedError
from cache.entries.source_check import SourceCheck
from cache.entries.trust import UPSTREAM_UNKNOWN, find_upstream_problem
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet

NOT_AT_HAND = "the video file is not at hand"


@dataclass
class Freshness:
    """Findings on the entries of some clips.

    Args:
        stale: clip to the reason why one of its entries may not be used.
        unchecked: clip to what couldn't be compared.
    """

    stale: dict[str, str] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)


def check_freshness(
    entries: Sequence[tuple[FeatureSet, Mapping[str, EntryHeader]]],
    clips: Mapping[str, Clip],
    checks: dict[str, SourceCheck] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Freshness:
    """Compare entries with what they should be made from; costs a stat each where nothing changed.

    The span of the manifest and the entry must agree, the file must have the content that the
    entry was made from, and so must all sets of a clip; an entry that another was made from must
    still be the one that is there. Imported features have none of this.

    Args:
        entries: sets, each with the headers of its entries by clip.
        clips: the manifest's rows by clip; clips that aren't among them are compared with each
            other alone.
        checks: of the clips' files, for a caller who asks about several sets one by one; those
            that are missing are added.
        progress: called with the number of entries compared and their total.

    Raises:
        OSError: an entry can't be read.
    """
    found = Freshness()
    checks = {} if checks is None else checks
    first: dict[str, tuple[str, Source]] = {}
    own = [(of, headers) for of, headers in entries if not of.spec.imported]
    done, total = 0, sum(len(headers) for _, headers in own)
    for feature_set, headers in own:
        for clip, header in headers.items():
            if clip in clips:
                if clip not in checks:
                    path, span = clips[clip].path, clips[clip].span
                    checks[clip] = SourceCheck(path, span, cache=feature_set.cache, clip=clip)
                _compare_source(header, checks[clip], found)
            _compare_upstream(feature_set, header, found)
            name, source = first.setdefault(clip, (feature_set.spec.name, header.source))
            if not header.source.same_content(source):
                reason = f"{name} and {feature_set.spec.name} are of different files or parts"
                found.stale.setdefault(clip, reason)
            done += 1
            if progress:
                progress(done, total)
    return found


def _compare_source(header: EntryHeader, check: SourceCheck, found: Freshness) -> None:
    if header.source.span != check.span:
        found.stale.setdefault(header.clip, "its start or end in the manifest is another")
        return
    try:
        same = check.same(header.source)
    except SourceChangedError:
        same = False
    except OSError:
        found.unchecked.setdefault(header.clip, NOT_AT_HAND)
        return
    if not same:
        found.stale.setdefault(header.clip, "its file has changed")


def _compare_upstream(feature_set: FeatureSet, header: EntryHeader, found: Freshness) -> None:
    paths = feature_set.upstream_paths(header.clip)
    there = {name: path for name, path in paths.items() if path.exists()}
    unknown = [name for name in there if name not in header.upstream]
    if unknown:
        reason = UPSTREAM_UNKNOWN.format(name=" and ".join(unknown))
        found.unchecked.setdefault(header.clip, reason)
    elif problem := find_upstream_problem(header, there):
        found.stale.setdefault(header.clip, f"{feature_set.spec.name}: {problem}")

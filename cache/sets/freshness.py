"""Freshness: compare entries that are there with the manifest, the files and each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cache.entries.entry import EntryHeader
from cache.entries.source import Source, same
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet

NOT_AT_HAND = "the video file is not at hand"
UPSTREAM_UNKNOWN = "an older version made the entry, which doesn't say from which {name}"


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
) -> Freshness:
    """Compare entries with what they should be made from; costs a stat each where nothing changed.

    The span of the manifest and the entry must agree, the file must have the content that the
    entry was made from, and so must all sets of a clip; an entry that another was made from must
    still be the one that is there. Imported features have none of this.

    Args:
        entries: sets, each with the headers of its entries by clip.
        clips: the manifest's rows by clip; clips that aren't among them are compared with each
            other alone.

    Raises:
        OSError: an entry can't be read.
    """
    found = Freshness()
    first: dict[str, tuple[str, Source]] = {}
    for feature_set, headers in entries:
        if feature_set.spec.imported:
            continue
        for clip, header in headers.items():
            name, source = first.setdefault(clip, (feature_set.spec.name, header.source))
            if not header.source.same_content(source):
                reason = f"{name} and {feature_set.spec.name} are of different files or parts"
                found.stale.setdefault(clip, reason)
            if clip in clips:
                _compare_source(clips[clip], header.source, found)
    return found


def _compare_source(clip: Clip, source: Source, found: Freshness) -> None:
    if source.span != clip.span:
        found.stale.setdefault(clip.id, "its start or end in the manifest is another")
        return
    try:
        unchanged = same(clip.path, source)
    except OSError:
        found.unchecked.setdefault(clip.id, NOT_AT_HAND)
        return
    if not unchanged:
        found.stale.setdefault(clip.id, "its file has changed")

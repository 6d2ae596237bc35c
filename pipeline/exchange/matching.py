"""Match of a source's ids with a manifest's clips, by patterns where they are written otherwise."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cache.manifest.clip_id import as_clip_id
from pipeline.exchange.settings import ImportSettings

MAX_SHOWN = 5


class Matches(NamedTuple):
    """Ids of the clips, the clips without one, and what contradicts itself."""

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
    return ", ".join(texts[:MAX_SHOWN]) + (", ..." if len(texts) > MAX_SHOWN else "")

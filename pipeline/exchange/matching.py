"""Matching of a source's ids with the clips of a manifest."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cache.manifest.clip_id import as_clip_id
from pipeline.exchange.settings import ImportSettings
from pipeline.index.files import AUDIO_SUFFIXES, VIDEO_SUFFIXES

MAX_SHOWN = 5  # ids that a message names
_SEPARATOR = re.compile(r"/|\\|--|\$_\$")  # of paths, of our ids, of MMSA's


class Matches(NamedTuple):
    """Ids of the clips, the clips without one, and what contradicts itself.

    ``by_path`` counts the clips found by the end of their path.
    """

    ids: Mapping[str, str]
    missing: tuple[str, ...]
    problems: tuple[str, ...]
    by_path: int = 0


def match_ids(
    clips: Sequence[str],
    ids: Sequence[str],
    settings: ImportSettings,
    files: Mapping[str, Path] | None = None,
) -> Matches:
    """Find each clip's id in a source.

    Without a pattern an id is the clip's own, or a text that escapes to it. With one, id and clip
    belong together if its groups say the same of both.

    In a tool's layout an id is often the path of a media file, with the ending of another or with
    none. It then belongs to the one clip whose id or media file ends alike, if it is the only one.

    Args:
        clips: ids of the clips.
        ids: those of the source.
        settings: with the patterns.
        files: the media file of each clip.

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
    settled = set()  # found, or part of a problem
    for name, owners in wanted.items():
        candidates = there.get(name, [])
        if candidates:
            settled.update(owners)
        if len(candidates) > 1:
            problems.append(f"clip {owners[0]}: {len(candidates)} ids: {shorten(candidates)}")
        elif candidates and len(owners) > 1:
            problems.append(_shared(candidates[0], owners))
        elif candidates:
            result[owners[0]] = candidates[0]
    by_path: dict[str, str] = {}
    if settings.like and not pattern:
        used = set(result.values())
        rest = [clip for clip in clips if clip not in settled]
        ends = _find_same_ends(rest, [key for key in ids if key not in used], files or {})
        owned = Counter(clip for owners in ends.values() for clip in owners)
        settled.update(owned)
        for key, owners in ends.items():
            if len(owners) > 1:
                problems.append(_shared(key, owners))
            elif owned[owners[0]] == 1:
                by_path[owners[0]] = key
        for clip, count in owned.items():
            if count > 1 and clip not in by_path:
                several = [key for key, owners in ends.items() if clip in owners]
                problems.append(f"clip {clip}: {count} ids: {shorten(several)}")
    missing = tuple(clip for clip in clips if clip not in settled)
    return Matches(result | by_path, missing, tuple(problems), len(by_path))


def _find_same_ends(
    clips: Sequence[str], ids: Sequence[str], files: Mapping[str, Path]
) -> dict[str, list[str]]:
    """Find, for each id, the clips where the path of one is the end of the other's."""
    paths: dict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for clip in clips:
        for text in (clip, str(files.get(clip, clip))):
            parts = _parts(text)
            paths[parts[-1]].append((clip, parts))
    found: dict[str, list[str]] = {}
    for key in ids:
        parts = _parts(key)
        alike = dict.fromkeys(
            clip
            for clip, path in paths.get(parts[-1], ())
            if all(a == b for a, b in zip(reversed(path), reversed(parts), strict=False))
        )
        if alike:
            found[key] = list(alike)
    return found


def _parts(text: str) -> tuple[str, ...]:
    """Folders of a path, and its name without the ending of a media file."""
    *folders, name = _SEPARATOR.split(text)
    path = PurePosixPath(name)
    known = path.suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES
    return (*filter(None, folders), path.stem if known else name)


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


def _shared(key: str, owners: Sequence[str]) -> str:
    return f"id {key} belongs to {len(owners)} clips: {shorten(owners)}"


def shorten(texts: Sequence[str]) -> str:
    """Join the first few texts."""
    return ", ".join(texts[:MAX_SHOWN]) + (", ..." if len(texts) > MAX_SHOWN else "")

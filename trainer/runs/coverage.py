"""In how many frames of a run's clips there was a face, as the headers of their entries state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cache.entries.coverage import Coverage, add_coverage, read_coverage
from cache.entries.entry import EntryError, read_entry_header
from cache.sets.feature_set import find_set


def measure_run_coverage(
    cache: Path, names: Iterable[str], clip_ids: Sequence[str]
) -> dict[str, Any]:
    """Add up the coverage of the clips of a run, per set that is made from faces.

    Args:
        cache: the cache's folder.
        names: the sets that the run reads.
        clip_ids: its clips; those without an entry are left out.

    Returns:
        Set -> JSON: what ``CorpusCoverage`` says of all clips, and ``per_clip`` the frames, those
        with a face, the rungs and the longest gap of each. Empty for a run without such a set.

    Raises:
        SetError: the cache has no such set, or several.
    """
    result: dict[str, Any] = {}
    for name in names:
        feature_set = find_set(cache, name)
        found: dict[str, Coverage] = {}
        for clip in clip_ids:
            try:
                coverage = read_coverage(read_entry_header(feature_set.entry_path(clip)))
            except (OSError, EntryError):
                continue  # failed, and reported as such
            if coverage is not None:
                found[clip] = coverage
        if found:
            per_clip = {
                clip: {
                    "frames": one.num_frames,
                    "frames_with_face": one.num_with_face,
                    **one.to_json(),
                }
                for clip, one in found.items()
            }
            result[name] = {**add_coverage(found).to_json(), "per_clip": per_clip}
    return result

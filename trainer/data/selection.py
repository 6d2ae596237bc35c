"""Training clips held aside to choose the number of epochs; clips reported on never take part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cache.manifest.manifest import Clip
from trainer.data.folds import SplitError, deal_by_label, natural_key


def inner_split(
    clips: Sequence[Clip], fraction: float, *, seed: int = 0
) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Hold out a share of the training clips, whole speakers where speakers are known.

    Args:
        clips: the training clips of one fold. Their order never matters.
        fraction: share to hold out, of the speakers, or of the clips (spread over the labels)
            where fewer than two speakers are known. Clips without a speaker, among others that
            have one, each count as a speaker.
        seed: which speakers or clips are drawn.

    Returns:
        The clips to train on and the clips held out; together they are ``clips``.

    Raises:
        SplitError: fewer than two clips, or the clips that stay have one class only.
    """
    ordered = sorted(clips, key=lambda clip: clip.clip)
    if len(ordered) < 2:
        raise SplitError(f"an inner split needs at least 2 training clips, got {len(ordered)}")
    speakers = {clip.speaker for clip in ordered if clip.speaker}
    if len(speakers) < 2:
        held = _hold_out_clips(ordered, fraction, seed)
    else:
        names = [clip.speaker or f"\0{clip.clip}" for clip in ordered]
        unique = sorted(set(names), key=natural_key)
        count = min(max(1, round(fraction * len(unique))), len(unique) - 1)
        drawn = np.random.default_rng(seed).permutation(len(unique))[:count]
        chosen = {unique[i] for i in drawn}
        held = {clip.clip for clip, name in zip(ordered, names, strict=True) if name in chosen}
    inner = tuple(clip for clip in ordered if clip.clip not in held)
    labels = {clip.label for clip in inner}
    if len(labels) < 2:
        raise SplitError(
            f"holding out {fraction:g} of {len(ordered)} training clips leaves only the label "
            f"{min(label or '' for label in labels)!r} to train on; use --select fixed"
        )
    return inner, tuple(clip for clip in ordered if clip.clip in held)


def _hold_out_clips(clips: Sequence[Clip], fraction: float, seed: int) -> set[str]:
    """Ids of about ``fraction`` of the clips, each label alike."""
    count = min(max(1, round(fraction * len(clips))), len(clips) - 1)
    # Deal every clip a turn of its own: neighbours in the deal are of one label, so every
    # 1/fraction-th turn spreads the held-out clips over the labels.
    turns = np.array(deal_by_label(clips, len(clips), seed))
    held = np.unique(((np.arange(count) + 0.5) * len(clips) / count).astype(int))
    return {clip.clip for clip, turn in zip(clips, turns, strict=True) if turn in held}

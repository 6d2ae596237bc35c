"""Groups of clips: those that folds are tested on, and those held out to choose the epochs."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from cache.manifest.manifest import Clip
from cache.wording import name_some

_SPEC = re.compile(r"(speaker|clip):([0-9]+)")


class SplitError(ValueError):
    """The clips of a manifest can't be divided as asked."""


def group_clips(clips: Sequence[Clip], folds: str, *, seed: int) -> dict[int, list[Clip]]:
    """Divide clips into the groups that folds are tested on.

    Args:
        clips: labelled clips, in an order that does not depend on the manifest's.
        folds: ``speaker:K``, ``speaker:all``, ``clip:K`` or ``manifest``.
        seed: seed of ``clip:K``.

    Returns:
        Fold number to its clips; every clip is in one group and no group is empty. Speakers are
        taken in natural order, neighbours together: 24 speakers in 6 folds are 1-4, 5-8 ...

    Raises:
        SplitError: ``folds`` is none of these; a clip has no speaker or no fold where one is
            needed; fewer than two folds, or fewer speakers or clips than folds.
    """
    match = _SPEC.fullmatch(folds)
    if folds == "manifest":
        numbers = _manifest_groups(clips)
    elif folds == "speaker:all":
        numbers = _speaker_groups(clips, None)
    elif match is None:
        raise SplitError(f"folds must be speaker:K, speaker:all, clip:K or manifest, got {folds!r}")
    elif match[1] == "speaker":
        numbers = _speaker_groups(clips, int(match[2]))
    else:
        numbers = _clip_groups(clips, int(match[2]), seed)
    groups: dict[int, list[Clip]] = {number: [] for number in sorted(set(numbers))}
    for clip, number in zip(clips, numbers, strict=True):
        groups[number].append(clip)
    return groups


def _manifest_groups(clips: Sequence[Clip]) -> list[int]:
    without = [clip.id for clip in clips if clip.fold is None]
    if without:
        raise SplitError(
            f"{len(without)} of {len(clips)} labelled clips have no fold: {name_some(without)}; "
            "fill in the manifest's column fold"
        )
    numbers = [clip.fold for clip in clips if clip.fold is not None]
    if len(set(numbers)) < 2:
        raise SplitError(f"the manifest's column fold has only fold {numbers[0]}; two are needed")
    return numbers


def _speaker_groups(clips: Sequence[Clip], num_folds: int | None) -> list[int]:
    without = [clip.id for clip in clips if not clip.speaker]
    if without:
        raise SplitError(
            f"{len(without)} of {len(clips)} labelled clips have no speaker: "
            f"{name_some(without)}; fill in the manifest's column speaker, or let 'avfuse persons' "
            "find them by their faces"
        )
    speakers = sorted({clip.speaker or "" for clip in clips}, key=natural_key)
    num_folds = max(2, len(speakers)) if num_folds is None else num_folds
    _check_count(num_folds, len(speakers), "speakers")
    number = {
        str(speaker): fold
        for fold, group in enumerate(np.array_split(np.array(speakers, dtype=object), num_folds))
        for speaker in group
    }
    return [number[clip.speaker or ""] for clip in clips]


def _clip_groups(clips: Sequence[Clip], num_folds: int, seed: int) -> list[int]:
    _check_count(num_folds, len(clips), "labelled clips")
    return deal_by_label(clips, num_folds, seed)


def _check_count(num_folds: int, available: int, what: str) -> None:
    if num_folds < 2:
        raise SplitError(f"cross-validation needs at least 2 folds, got {num_folds}")
    if available < num_folds:
        raise SplitError(
            f"there are {available} {what}, fewer than the {num_folds} folds asked for"
        )


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Make a sort key that puts ``actor 2`` before ``actor 10``."""
    parts = re.split(r"([0-9]+)", text)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], text


def deal_by_label(clips: Sequence[Clip], num_groups: int, seed: int) -> list[int]:
    """Give each clip a group number, each label spread over the groups as evenly as it goes.

    The clips of a label are shuffled and dealt in turn; the next label goes on where the last
    one stopped, so that group sizes differ by at most one.
    """
    generator = np.random.default_rng(seed)
    groups = [0] * len(clips)
    dealt = 0
    for label in sorted({clip.label or "" for clip in clips}):
        members = [i for i, clip in enumerate(clips) if (clip.label or "") == label]
        for i in generator.permutation(len(members)):
            groups[members[i]] = dealt % num_groups
            dealt += 1
    return groups


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
    ordered = sorted(clips, key=lambda clip: clip.id)
    if len(ordered) < 2:
        raise SplitError(f"an inner split needs at least 2 training clips, got {len(ordered)}")
    speakers = {clip.speaker for clip in ordered if clip.speaker}
    if len(speakers) < 2:
        held = _hold_out_clips(ordered, fraction, seed)
    else:
        names = [clip.speaker or f"\0{clip.id}" for clip in ordered]
        unique = sorted(set(names), key=natural_key)
        count = min(max(1, round(fraction * len(unique))), len(unique) - 1)
        drawn = np.random.default_rng(seed).permutation(len(unique))[:count]
        chosen = {unique[i] for i in drawn}
        held = {clip.id for clip, name in zip(ordered, names, strict=True) if name in chosen}
    inner = tuple(clip for clip in ordered if clip.id not in held)
    labels = {clip.label for clip in inner}
    if len(labels) < 2:
        raise SplitError(
            f"holding out {fraction:g} of {len(ordered)} training clips leaves only the label "
            f"{min(label or '' for label in labels)!r} to train on; use more clips, or "
            "--select fixed and calibrate=none, which hold none out"
        )
    return inner, tuple(clip for clip in ordered if clip.id in held)


def _hold_out_clips(clips: Sequence[Clip], fraction: float, seed: int) -> set[str]:
    """Choose about ``fraction`` of the clips, each label alike; their ids."""
    count = min(max(1, round(fraction * len(clips))), len(clips) - 1)
    # Deal every clip a turn of its own: neighbours in the deal are of one label, so every
    # 1/fraction-th turn spreads the held-out clips over the labels.
    turns = np.array(deal_by_label(clips, len(clips), seed))
    held = np.unique(((np.arange(count) + 0.5) * len(clips) / count).astype(int))
    return {clip.id for clip, turn in zip(clips, turns, strict=True) if turn in held}

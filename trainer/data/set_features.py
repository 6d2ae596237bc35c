"""Read one modality's features from a cache: its sets' packs, derived, expanded and joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.packs.pack import Pack, open_pack
from cache.sets.feature_set import FeatureSet, find_set
from trainer.data.features import FeaturesError, arrays_of, choose_features, derive
from trainer.data.sequences import Sequences, flatten_grid, join

FAILED = "failed"
_BY_SEVERITY = ("ok", "partial", FAILED)
_NO_ENTRY = "no entry"  # what a pack says of a clip that was never extracted
_SHOWN = 10


@dataclass(frozen=True)
class SetFeatures:
    """The features of N clips from one set, or from several joined.

    Args:
        sequences: the steps; a clip that failed has none.
        features: what was read, never "auto"; one name per set, joined by +.
        states: "ok", "partial" or "failed" per clip.
        missing: what each clip lacks, for a user; why it failed.
        checksums: "<set>/<array>" -> SHA-256 of each clip's array; "" for one that failed.
        set_keys: name -> key of each set.
        untrained: whether random weights stand behind one of them.
    """

    sequences: Sequences
    features: str
    states: tuple[str, ...]
    missing: tuple[tuple[str, ...], ...]
    checksums: Mapping[str, tuple[str, ...]]
    set_keys: Mapping[str, str]
    untrained: bool


def read_features(
    cache: Path,
    names: Sequence[str],
    clip_ids: Sequence[str],
    features: str,
    *,
    packs: Path | None = None,
) -> SetFeatures:
    """Read features of one set, or of several side by side, step by step.

    Args:
        cache: the cache's folder.
        names: the sets.
        clip_ids: the N clips, in the order wanted.
        features: what to read of each set; see ``trainer.data.features``.
        packs: folder of the packs; None: in the cache.

    Raises:
        FeaturesError: a clip was never extracted, or a set doesn't offer the features.
        SetError: the cache has no such set, or several.
        ValueError: the sets have other steps; names the clip.
        PackError, EntryError: no clip has an entry, or one is damaged.
        OSError: something can't be read, or a pack can't be written.
    """
    parts = [_read_set(cache, name, clip_ids, features, packs) for name in names]
    worst = [max(s, key=_BY_SEVERITY.index) for s in zip(*(p.states for p in parts), strict=True)]
    failed = np.array([state == FAILED for state in worst], np.bool_)
    # A clip that failed in one set has no step in the others either.
    sequences = [part.sequences.without(failed) for part in parts]
    return SetFeatures(
        sequences=join(sequences, clip_ids, names),
        features="+".join(part.features for part in parts),
        states=tuple(worst),
        missing=tuple(
            tuple(dict.fromkeys(reason for reasons in clip for reason in reasons))
            for clip in zip(*(part.missing for part in parts), strict=True)
        ),
        checksums={key: value for part in parts for key, value in part.checksums.items()},
        set_keys={key: value for part in parts for key, value in part.set_keys.items()},
        untrained=any(part.untrained for part in parts),
    )


def _read_set(
    cache: Path, name: str, clip_ids: Sequence[str], features: str, packs: Path | None
) -> SetFeatures:
    feature_set = find_set(cache, name)
    chosen = choose_features(features, _offered(feature_set, clip_ids), name)
    arrays = arrays_of(chosen)
    opened = [
        open_pack(feature_set, clip_ids, array, missing="skip", folder=packs) for array in arrays
    ]
    first = opened[0]
    _refuse_absent(first, feature_set)
    place = [first.index.get(clip) for clip in clip_ids]
    lengths = [0 if i is None else int(first.offsets[i + 1] - first.offsets[i]) for i in place]
    values = derive(chosen, {a: pack.values for a, pack in zip(arrays, opened, strict=True)})
    # The pack has the clips in the order asked for, less those without an entry.
    sequences = Sequences(values, first.times, np.concatenate([[0], np.cumsum(lengths, dtype=int)]))
    return SetFeatures(
        sequences=flatten_grid(sequences) if chosen == "grid" else sequences,
        features=chosen,
        states=tuple(FAILED if i is None else first.states[i] for i in place),
        missing=tuple(
            (first.skipped[clip],) if i is None else first.missing[i]
            for clip, i in zip(clip_ids, place, strict=True)
        ),
        checksums={
            f"{name}/{array}": tuple("" if i is None else pack.entry_checksums[i] for i in place)
            for array, pack in zip(arrays, opened, strict=True)
        },
        set_keys={name: feature_set.spec.key},
        untrained=feature_set.spec.untrained,
    )


def _offered(feature_set: FeatureSet, clip_ids: Sequence[str]) -> list[str]:
    """Arrays of the set's entries, as the first clip that has one says."""
    for clip in clip_ids:
        try:
            return list(feature_set.read(clip, []).checksums)
        except FileNotFoundError:
            continue
    raise FeaturesError(
        f"none of the {len(clip_ids)} clips has an entry in {feature_set.folder}; "
        "run avfuse extract with the same manifest"
    )


def _refuse_absent(pack: Pack, feature_set: FeatureSet) -> None:
    absent = [clip for clip, reason in pack.skipped.items() if reason == _NO_ENTRY]
    if absent:
        shown = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
        raise FeaturesError(
            f"{len(absent)} clips have neither an entry nor a recorded failure in "
            f"{feature_set.folder}: {shown}; run avfuse extract with the same manifest"
        )

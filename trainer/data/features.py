"""Features that a head sees of a feature set, derived when they are read and never stored twice.

icmi19's enhancements (its Table 3) are "mean", "mean_std" and "norm_fft"; F-AR-Mean is "mean" of
two sets joined, F-MeanStd-2 is "mean_std" of a set extracted with the wide views. "statistics" is
ours: one step a clip that says how the steps are spread over time, so that a head never waits for
them. A set that has such a vector of its own, as ``voice`` has its "functionals", is read by that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.entries.entry import EntryHeader
from cache.packs.build import EntryChangedError
from cache.packs.pack import Pack, open_pack, until_unchanged
from cache.sets.feature_set import FeatureSet, find_set
from cache.sets.main_array import WHOLE, feature_arrays, find_main_array
from cache.wording import number_of
from extractors.sound.functionals import VOICE_FUNCTIONALS, describe_voice
from trainer.data.sequences import Sequences, flatten_grid, join, join_shapes

Array = NDArray[np.float32]
# Rows that are worked on at once: keeps what is computed in float64 small.
CHUNK = 16384
# Features of a whole clip, of whatever "auto" means.
STATISTICS = "statistics"
FUNCTIONALS = "functionals"  # of a voice, which the set itself has
STEPS = "steps"  # what "auto" means of a set that has functionals too
# Of the values that each number of a step takes over a clip, beside their mean and deviation.
PERCENTILES = (5, 25, 50, 75, 95)
FAILED = "failed"
_BY_SEVERITY = ("ok", "partial", FAILED)
_NO_ENTRY = "no entry"  # a pack's word for a clip that was never extracted
_SHOWN = 10


class FeaturesError(ValueError):
    """Features that a set does not offer, or that can't be used as asked."""


def norm_fft(basic: Array) -> Array:
    """Fourier-transform each embedding and normalise: F-NormFFT.

    Args:
        basic: (n, D).

    Returns:
        (n, 2 D): the full discrete Fourier transform over the D values divided by its L2 norm,
        first the D real parts, then the D imaginary ones. A zero embedding stays zero.

    Source:
        Zhou et al., ICMI 2019, "Feature Enhancement". The paper leaves axis and norm open.
    """
    result = np.empty((len(basic), 2 * basic.shape[1]), np.float32)
    for rows in chunks(len(basic)):
        spectrum = np.fft.fft(basic[rows].astype(np.float64), axis=1)
        norm = np.sqrt((np.abs(spectrum) ** 2).sum(axis=1, keepdims=True))
        spectrum /= np.where(norm > 0, norm, 1.0)
        result[rows] = np.concatenate([spectrum.real, spectrum.imag], axis=1)
    return result


# features -> the arrays they are made of, and how
DERIVED: dict[str, tuple[tuple[str, ...], Callable[..., Array]]] = {
    "mean_std": (("mean", "std"), lambda mean, std: np.concatenate([mean, std], axis=1)),
    "norm_fft": (("basic",), norm_fft),
}


def summarise(steps: Sequences) -> Sequences:
    """Describe each clip by statistics over its steps: one step, in the middle of its time.

    Args:
        steps: (sum T, ...).

    Returns:
        Steps of shape (7 D,) where those given have D numbers: D means, D deviations, then the D
        values below which 5 % of the steps lie, 25, 50, 75 and 95 %, interpolated. A clip without a
        step has none here either; of a clip with one, the deviations are 0.
    """
    per_step = int(np.prod(steps.shape, dtype=np.int64))

    def describe(values: Array) -> NDArray[Any]:
        own = values.reshape(-1, per_step)
        mean, deviation = own.mean(axis=0, dtype=np.float64), own.std(axis=0, dtype=np.float64)
        return np.concatenate([mean, deviation, np.percentile(own, PERCENTILES, axis=0).ravel()])

    return _once_a_clip(steps, describe, (2 + len(PERCENTILES)) * per_step)


def describe_voices(steps: Sequences) -> Sequences:
    """Describe the voice of each clip by its functionals: one step, in the middle of its time.

    Args:
        steps: (sum T, D) of the set ``voice``, or windows of them.
    """
    return _once_a_clip(steps, describe_voice, len(VOICE_FUNCTIONALS))


# Features of a whole clip -> how they are made of its steps
SUMMARIES: dict[str, Callable[[Sequences], Sequences]] = {
    STATISTICS: summarise,
    FUNCTIONALS: describe_voices,
}


def _once_a_clip(
    steps: Sequences, describe: Callable[[Array], NDArray[Any]], length: int
) -> Sequences:
    """Describe each clip that has a step by a vector of so many numbers."""
    found = np.flatnonzero(steps.lengths)
    values = np.empty((len(found), length), np.float32)
    middle = np.empty(len(found))
    for row, clip in enumerate(found.tolist()):
        values[row] = describe(steps.of(clip))
        times = steps.times_of(clip)
        middle[row] = (times[0] + times[-1]) / 2
    return Sequences(values, middle, np.concatenate([[0], np.cumsum(steps.lengths > 0)]))


def choose_features(features: str, offered: Sequence[str], name: str) -> str:
    """Choose the features of a set that "auto" means; check that it offers those asked for.

    Args:
        features: "auto", "statistics", "functionals", "steps", a key of ``DERIVED`` or the name of
            an array.
        offered: arrays of the set's entries.
        name: the set, for messages.

    Raises:
        FeaturesError: the set lacks an array that they need, or "auto" has no one answer.
    """
    arrays = feature_arrays(offered)
    if not arrays:
        raise FeaturesError(
            f"set {name} has no features, only facts about faces; train on the set of a network or "
            "of sound, such as resnet18 or logmel"
        )
    if features in ("auto", STATISTICS, FUNCTIONALS) and f"{WHOLE}{FUNCTIONALS}" in offered:
        return FUNCTIONALS
    if features in ("auto", STATISTICS, STEPS):
        main = find_main_array(offered)
        if main is not None:
            return features if features == STATISTICS else main
        raise FeaturesError(
            f"set {name} has the arrays {', '.join(arrays)}; "
            "say which to read, such as video.features=NAME"
        )
    missing = [array for array in arrays_of(features) if array not in arrays]
    if missing:
        derived = [key for key, (needs, _) in DERIVED.items() if {*needs} <= {*arrays}]
        known = [*arrays, *derived, STATISTICS]
        hint = ""
        if "basic" in arrays and {"mean", "std"} & {*missing}:
            hint = "; it was extracted with --views basic: extract it with the default views"
        raise FeaturesError(
            f"set {name} offers no features {features!r}; it offers {', '.join(known)}{hint}"
        )
    return features


def arrays_of(features: str) -> tuple[str, ...]:
    """Name the arrays that features are made of."""
    if features == FUNCTIONALS:
        return (f"{WHOLE}{FUNCTIONALS}",)
    return DERIVED[features][0] if features in DERIVED else (features,)


def derive(features: str, arrays: Mapping[str, Array]) -> Array:
    """Make features of the arrays that ``arrays_of`` names, row by row."""
    if features not in DERIVED:
        return arrays[arrays_of(features)[0]]
    names, make = DERIVED[features]
    return make(*(arrays[name] for name in names))


def chunks(n: int) -> list[slice]:
    """Cut n rows into pieces of ``CHUNK``."""
    return [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]


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
    headers: Mapping[str, Mapping[str, EntryHeader]] | None = None,
    packs: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SetFeatures:
    """Read features of one set, or of several side by side, step by step.

    All arrays of a clip are of one state of its entry, whatever other processes write meanwhile.

    Args:
        cache: the cache's folder.
        names: the sets.
        clip_ids: the N clips, in the order wanted.
        features: what to read of each set; see ``trainer.data.features``.
        headers: set to the headers of the entries to read, see ``read_headers``; None: of those
            that are there now.
        packs: folder of the packs; None: in the cache.
        progress: called with the number of entries read and their total, while a pack is built.

    Raises:
        FeaturesError: a clip was never extracted, or a set doesn't offer the features.
        SetError: the cache has no such set, or several.
        ValueError: the sets have other steps; names the clip.
        PackError, EntryError: no clip has an entry, or one is damaged.
        EntryChangedError: with ``headers``, an entry is no longer the one that they are of.
        OSError: something can't be read, or a pack can't be written.
    """
    if headers is None:

        def read() -> SetFeatures:
            now = read_headers(cache, names, clip_ids)
            return read_features(
                cache, names, clip_ids, features, headers=now, packs=packs, progress=progress
            )

        return until_unchanged(cache, read)
    parts = [
        _read_set(cache, name, clip_ids, features, headers[name], packs, progress) for name in names
    ]
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


def read_headers(
    cache: Path, names: Sequence[str], clip_ids: Sequence[str]
) -> dict[str, dict[str, EntryHeader]]:
    """Return, by set, the headers of the clips' entries; clips without one are left out."""
    return {name: find_set(cache, name).read_headers(clip_ids) for name in names}


def _read_set(
    cache: Path,
    name: str,
    clip_ids: Sequence[str],
    features: str,
    headers: Mapping[str, EntryHeader],
    packs: Path | None,
    progress: Callable[[int, int], None] | None,
) -> SetFeatures:
    feature_set = find_set(cache, name)
    offered = _offered(feature_set, headers, len(clip_ids))
    chosen, source = _choose(features, offered, name)
    arrays = arrays_of(source)
    opened = [
        open_pack(
            feature_set,
            clip_ids,
            array,
            headers=headers,
            missing="skip",
            folder=packs,
            progress=progress,
        )
        for array in arrays
    ]
    first = opened[0]
    _refuse_absent(first, feature_set)
    place = [first.index.get(clip) for clip in clip_ids]
    lengths = [0 if i is None else int(first.offsets[i + 1] - first.offsets[i]) for i in place]
    return SetFeatures(
        # The pack has the clips in the order asked for, less those without an entry.
        sequences=_sequence(
            chosen,
            source,
            {array: pack.values for array, pack in zip(arrays, opened, strict=True)},
            first.times,
            lengths,
        ),
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


def _choose(features: str, offered: Sequence[str], name: str) -> tuple[str, str]:
    """Return the features that are meant, and those that they are computed from over time."""
    chosen = choose_features(features, offered, name)
    return chosen, choose_features("auto", offered, name) if chosen == STATISTICS else chosen


def _sequence(
    chosen: str,
    source: str,
    arrays: Mapping[str, Array],
    times: NDArray[np.float64],
    lengths: Sequence[int],
) -> Sequences:
    """Make the steps that a head sees of a set's arrays; see ``_choose``."""
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=int)])
    sequences = Sequences(derive(source, arrays), times, offsets)
    if source == "grid":
        sequences = flatten_grid(sequences)
    return summarise(sequences) if chosen == STATISTICS else sequences


def peek_shape(
    cache: Path, names: Sequence[str], clip_ids: Sequence[str], features: str
) -> tuple[int, ...]:
    """Return the shape of one step of what ``read_features`` reads, by one entry of each set.

    Args:
        cache: see ``read_features``, as for the others.
        names: see there.
        clip_ids: see there; the first with an entry is read.
        features: see there.

    Raises:
        FeaturesError, SetError, ValueError, EntryError, OSError: see there.
    """
    parts = []
    for name in names:
        feature_set = find_set(cache, name)
        clip = next((clip for clip in clip_ids if feature_set.entry_path(clip).exists()), None)
        headers = feature_set.read_headers([] if clip is None else [clip])
        offered = _offered(feature_set, headers, len(clip_ids))
        chosen, source = _choose(features, offered, name)
        found = feature_set.read(next(iter(headers)), arrays_of(source)).arrays
        arrays = {array: values[:1] for array, values in found.items()}
        count = len(next(iter(arrays.values())))
        parts.append(_sequence(chosen, source, arrays, np.zeros(count), [count]))
    return join_shapes([part.shape for part in parts], names)


def _offered(
    feature_set: FeatureSet, headers: Mapping[str, EntryHeader], num_clips: int
) -> list[str]:
    """Name the arrays of the set's entries, by the first clip that has one."""
    if not headers:
        raise FeaturesError(
            f"none of the {num_clips} clips has an entry in {feature_set.folder}; "
            "run avfuse extract with the same manifest"
        )
    try:
        return list(feature_set.read(next(iter(headers)), []).checksums)
    except FileNotFoundError as error:
        raise EntryChangedError(str(error)) from error


def _refuse_absent(pack: Pack, feature_set: FeatureSet) -> None:
    absent = [clip for clip, reason in pack.skipped.items() if reason == _NO_ENTRY]
    if absent:
        shown = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
        raise FeaturesError(
            f"{number_of(len(absent), 'clip')} without an entry or a recorded failure in "
            f"{feature_set.folder}: {shown}; run avfuse extract with the same manifest"
        )

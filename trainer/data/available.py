"""Which clips of a manifest have the features a head needs, and why the others have not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.sets.feature_set import FeatureSet, find_set, list_sets
from trainer.data.corpus import Corpus, load_corpus
from trainer.data.features import FeaturesError
from trainer.settings import HeadSettings

_NO_STEPS = "it has no steps"
NEVER_EXTRACTED = "never extracted into {folder}; run avfuse extract with the same manifest"


@dataclass(frozen=True)
class Available:
    """The corpus of the clips that were extracted, and what is not in it.

    Args:
        corpus: clips with an entry or a recorded failure in every set.
        without: clip to the reason why it has no step of any modality; some are in ``corpus``.
        partial: clip to what it lacks, for the other clips that are not whole.
        sets: every set that the features come from, also those that others are built on: its
            name, key, folder and spec.
    """

    corpus: Corpus
    without: Mapping[str, str]
    partial: Mapping[str, str]
    sets: Sequence[Mapping[str, Any]]


def load_available(
    cache: Path,
    labels: Mapping[str, str],
    settings: HeadSettings,
    *,
    classes: Sequence[str],
    speakers: Mapping[str, str | None] | None = None,
    packs: Path | None = None,
) -> Available:
    """Load the features of as many clips as have any.

    Args:
        cache: the cache's folder.
        labels: clip id to label, for the clips wanted.
        settings: which sets and features the head uses.
        classes: the classes in order.
        speakers: clip id to speaker, for a normalisation per speaker.
        packs: folder of the packs; None: in the cache.

    Raises:
        FeaturesError: no clip was extracted into one of the sets, or a set doesn't offer the
            features.
        SetError: the cache has no such set, or several; names those it has.
        CorpusError, PackError, EntryError, ValueError, OSError: as ``load_corpus``.
    """
    used = _used_sets(cache, settings)
    without = _find_unextracted(used, sorted(labels))
    clip_ids = [clip for clip in sorted(labels) if clip not in without]
    corpus = load_corpus(
        cache,
        clip_ids,
        settings,
        labels={clip: labels[clip] for clip in clip_ids},
        classes=classes,
        speakers=speakers,
        packs=packs,
    )
    partial: dict[str, str] = {}
    for i, clip in enumerate(corpus.clip_ids):
        reasons = _reasons(corpus, i)
        if corpus.modalities_of(i) == "none":
            without[clip] = reasons
        elif reasons:
            partial[clip] = reasons
    return Available(corpus, dict(sorted(without.items())), partial, _describe_sets(cache, used))


def _reasons(corpus: Corpus, i: int) -> str:
    """What a clip lacks in each modality; said once where both lack the same."""
    reasons = {
        modality: ", ".join(corpus.missing[modality][i]) or _NO_STEPS
        for modality, part in corpus.sequences.items()
        if corpus.states[modality][i] != "ok" or part.lengths[i] == 0
    }
    if len(reasons) == len(corpus.sequences) and len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return "; ".join(f"{modality}: {reason}" for modality, reason in reasons.items())


def used_set_names(settings: HeadSettings) -> list[str]:
    """Return the names of the sets that a head reads, each once."""
    names = [name for m in settings.modalities for name in settings.modality(m).set.split("+")]
    return list(dict.fromkeys(names))


def _used_sets(cache: Path, settings: HeadSettings) -> list[FeatureSet]:
    return [find_set(cache, name) for name in used_set_names(settings)]


def _find_unextracted(sets: Sequence[FeatureSet], clip_ids: Sequence[str]) -> dict[str, str]:
    absent: dict[str, str] = {}
    for feature_set in sets:
        reason = NEVER_EXTRACTED.format(folder=feature_set.folder.name)
        here = [
            clip
            for clip in clip_ids
            if not feature_set.entry_path(clip).exists() and feature_set.failure(clip) is None
        ]
        if len(here) == len(clip_ids):
            raise FeaturesError(f"all {len(clip_ids)} clips were {reason}")
        for clip in here:
            absent.setdefault(clip, reason)
    return absent


def _describe_sets(cache: Path, used: Sequence[FeatureSet]) -> list[dict[str, Any]]:
    """The used sets, then those that they are built on, as far as the cache still has them."""
    by_key = {item.spec.key: item for item in list_sets(cache)}
    todo, described = list(used), {}
    while todo:
        item = todo.pop(0)
        if item.spec.key not in described:
            described[item.spec.key] = {
                "name": item.spec.name,
                "key": item.spec.key,
                "folder": item.folder.name,
                "spec": item.spec.to_json(),
                "provenance": item.provenance,
            }
            todo += [by_key[key] for key in item.spec.upstream.values() if key in by_key]
    return list(described.values())

"""Corpus: the steps of every clip and modality in memory, read from a cache.

``load_corpus`` refuses a clip that was never extracted; ``load_available`` leaves it out and names
it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.entries.coverage import Coverage
from cache.entries.entry import EntryHeader
from cache.manifest.clip import Clip
from cache.manifest.votes import Votes
from cache.packs.pack import until_unchanged
from cache.sets.feature_set import FeatureSet, find_set, list_sets
from cache.sets.freshness import check_freshness
from cache.wording import name_by_reason, number_of
from trainer.data.copies import read_contents
from trainer.data.features import (
    FUNCTIONALS,
    STATISTICS,
    STEPS,
    SUMMARIES,
    FeaturesError,
    SetFeatures,
    read_features,
    read_headers,
)
from trainer.data.sentences import SentenceError, Speech, Templates
from trainer.data.sequences import Sequences
from trainer.data.votes import share_votes
from trainer.settings import HeadSettings, used_set_names

UNLABELLED = -1
# Embeddings already: an encoder can't take them.
EMBEDDINGS = {"basic", "mean", "mean_std", "norm_fft", "grid", *SUMMARIES}
NEVER_EXTRACTED = "never extracted into {folder}; run avfuse extract with the same manifest"
_NO_STEPS = "it has no steps"


class CorpusError(ValueError):
    """Clips that can't be trained on or predicted as asked; names them."""


class StaleError(CorpusError):
    """Entries that are of other files, parts of files or faces than there are now; names them."""


@dataclass(frozen=True)
class Corpus:
    """The features of N clips, with labels where they are known.

    Args:
        clip_ids: (N,) ids; an index into a corpus is a position here.
        sequences: modality -> steps of every clip; a clip without the modality has none.
        classes: names of the classes, in the order of every result.
        labels: (N,) index of each clip's class; ``UNLABELLED`` where there is none.
        features: modality -> what was read of its sets, never "auto"; joined by + for a join.
        states: modality -> state of each clip's entry: "ok", "partial" or "failed".
        missing: modality -> what each clip lacks, for a user; why it failed.
        checksums: "<set>/<array>" -> SHA-256 of what was read of each clip; "" where nothing was.
        set_keys: name -> key of every feature set that was read.
        untrained: whether random weights stand anywhere behind the features.
        speakers: (N,) who speaks; None where it isn't known. Empty if nobody asked.
        votes: (N, C) share of each class in a clip's votes, 0 for a clip without; None if nobody
            asked.
        unchecked: clip to why it isn't known whether its entries are stale.
        coverage: set to the frames with a face of each clip, of sets that are made from faces.
        speech: the voices that ``laid_along`` lays along sentences; None if nobody asked.
        templates: those that ``laid_along`` laid them along; None before.
        contents: clip to the digest of its file; clips of imported features alone are left out.

    Raises:
        ValueError: something has another length than N.
    """

    clip_ids: tuple[str, ...]
    sequences: Mapping[str, Sequences]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    features: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    checksums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    set_keys: Mapping[str, str] = field(default_factory=dict)
    untrained: bool = False
    speakers: tuple[str | None, ...] = ()
    votes: NDArray[np.float32] | None = None
    unchecked: Mapping[str, str] = field(default_factory=dict)
    coverage: Mapping[str, Mapping[str, Coverage]] = field(default_factory=dict)
    speech: Speech | None = None
    templates: Templates | None = None
    contents: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(part) for name, part in self.sequences.items()}
        lengths |= {f"{name} states": len(part) for name, part in self.states.items()}
        if self.speakers:
            lengths["speakers"] = len(self.speakers)
        for name, length in {**lengths, "labels": len(self.labels)}.items():
            if length != len(self):
                raise ValueError(f"{len(self)} clips have {length} {name}")

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Modality -> shape of one step."""
        return {name: part.shape for name, part in self.sequences.items()}

    def has(self, modality: str) -> NDArray[np.bool_]:
        """Mark the clips that have at least one step of a modality, (N,)."""
        if modality not in self.sequences:
            return np.zeros(len(self), np.bool_)
        return self.sequences[modality].lengths > 0

    def modalities_of(self, clip: int) -> str:
        """Name what a clip has: "audio+video", "audio", "video" or "none"."""
        return "+".join(m for m in ("audio", "video") if self.has(m)[clip]) or "none"

    def fit_templates(self, train: NDArray[np.int64], settings: HeadSettings) -> Templates | None:
        """Make the templates of the sentences of some clips, for ``audio.align=sentence``.

        Returns:
            What ``laid_along`` wants; None where nothing is aligned.

        Raises:
            SentenceError: see ``Speech.fit``.
        """
        return None if not settings.aligns else self._voices().fit(train, self.labels)

    def laid_along(self, templates: Templates | None) -> Corpus:
        """Return the corpus with the course of each clip's voice along its sentence.

        Its numbers stand behind those of the sound, one step a clip. The corpus itself for None.

        Raises:
            SentenceError: see ``Speech.lay_along``; or no voices were read.
        """
        if templates is None:
            return self
        whole, along = self.sequences["audio"], self._voices().lay_along(templates)
        values = np.concatenate([whole.values, along.values], axis=1)
        sequences = {**self.sequences, "audio": whole.with_values(values)}
        return replace(self, sequences=sequences, templates=templates)

    def _voices(self) -> Speech:
        if self.speech is None:
            raise SentenceError("audio.align=sentence needs voices step by step; none were read")
        return self.speech

    def indices(self, clip_ids: Sequence[str]) -> NDArray[np.int64]:
        """Find clips by their ids.

        Raises:
            CorpusError: one is not in the corpus.
        """
        place = {clip: i for i, clip in enumerate(self.clip_ids)}
        unknown = [clip for clip in clip_ids if clip not in place]
        if unknown:
            raise CorpusError(
                f"{number_of(len(unknown), 'clip')} not in the corpus: {unknown[0]} first"
            )
        return np.array([place[clip] for clip in clip_ids], np.int64)


def load_corpus(
    cache: Path,
    clip_ids: Sequence[str],
    settings: HeadSettings,
    *,
    clips: Mapping[str, Clip] | None = None,
    labels: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    speakers: Mapping[str, str | None] | None = None,
    votes: Mapping[str, Votes] | None = None,
    packs: Path | None = None,
    on_read: Callable[[str, int, int], None] | None = None,
) -> Corpus:
    """Read the features that a head uses, through packs that are built where they are stale.

    A clip whose extraction failed stays in the corpus without a step of that modality, and so
    does one without sound. A clip that was never extracted is refused, and so are stale entries;
    those that are checked are those that are read, whatever other processes write meanwhile.

    Args:
        cache: the cache's folder.
        clip_ids: the clips, in the order of the corpus.
        settings: which sets and features the head uses, and whether it fuses modalities.
        clips: clip id -> row of the manifest, whose file and span the entries must be of; see
            ``check_freshness``.
        labels: clip id -> label, for the clips that have one.
        classes: the classes in order; the labels sorted if None.
        speakers: clip id -> speaker, for a normalisation per speaker.
        votes: clip id -> votes, for a training on them.
        packs: folder of the packs, for a cache that can't be written; None: in the cache.
        on_read: called with how many files were compared, or entries read for a pack, in which
            unit, and their total.

    Raises:
        StaleError: entries are of other files, spans or faces than there are now.
        CorpusError: a label is not among ``classes``, an encoder is asked for on features that
            are embeddings already, or ``audio.align=sentence`` of another set than ``voice``.
        VotesError: votes for what is not among ``classes``.
        FeaturesError: a clip was never extracted, or a set doesn't offer the features.
        SetError: the cache has no such set, or several.
        ValueError: the sets of a join have other steps; names the clip.
        PackError, EntryError: no clip has an entry, or one is damaged.
        OSError: something can't be read or a pack can't be written.
    """

    def read() -> tuple[
        dict[str, SetFeatures], dict[str, str], dict[str, dict[str, Coverage]], dict[str, str]
    ]:
        headers = read_headers(cache, used_set_names(settings), clip_ids)
        unchecked = _refuse_stale(cache, headers, clips or {}, _counting(on_read, "files"))
        wanted = {name: settings.modality(name) for name in settings.modalities}
        if settings.aligns:
            wanted[STEPS] = replace(settings.audio, features=STEPS)
        parts = {}
        for name, chosen in wanted.items():
            names = chosen.set.split("+")
            parts[name] = read_features(
                cache,
                names,
                clip_ids,
                chosen.features,
                headers=headers,
                packs=packs,
                progress=_counting(on_read, "entries"),
            )
        coverage = {
            name: {clip: one.coverage for clip, one in found.items() if one.coverage is not None}
            for name, found in headers.items()
        }
        own = (found for name, found in headers.items() if not find_set(cache, name).spec.imported)
        return parts, unchecked, coverage, read_contents(own)

    parts, unchecked, coverage, contents = until_unchanged(cache, read)
    checksums = {key: value for part in parts.values() for key, value in part.checksums.items()}
    speech = None
    if settings.aligns:
        speech = _read_speech(clip_ids, parts.pop(STEPS), parts["audio"], clips or {})
    if "audio" in parts and settings.audio.encoder != "none":
        _check_encoder(parts["audio"], settings)
    labels = labels or {}
    classes = tuple(sorted(set(labels.values())) if classes is None else classes)
    unknown = sorted({label for label in labels.values() if label not in classes})
    if unknown:
        raise CorpusError(
            f"the label {unknown[0]!r} is not one of the classes {', '.join(classes)}"
        )
    return Corpus(
        clip_ids=tuple(clip_ids),
        sequences={name: part.sequences for name, part in parts.items()},
        classes=classes,
        labels=np.array(
            [classes.index(labels[c]) if c in labels else UNLABELLED for c in clip_ids], np.int64
        ),
        features={name: part.features for name, part in parts.items()},
        states={name: part.states for name, part in parts.items()},
        missing={name: part.missing for name, part in parts.items()},
        checksums=checksums,
        set_keys={key: value for part in parts.values() for key, value in part.set_keys.items()},
        untrained=any(part.untrained for part in parts.values()),
        speakers=tuple(speakers.get(clip) for clip in clip_ids) if speakers else (),
        votes=None if votes is None else share_votes(clip_ids, votes, classes),
        unchecked=unchecked,
        coverage=coverage,
        contents=contents,
        speech=speech,
    )


def _read_speech(
    clip_ids: Sequence[str], voices: SetFeatures, audio: SetFeatures, clips: Mapping[str, Clip]
) -> Speech:
    if audio.features != FUNCTIONALS:
        raise CorpusError(
            "audio.align=sentence stands beside the functionals of the set voice, got the array "
            f"{audio.features}; set audio.set=voice and audio.features=auto"
        )
    said = tuple(clips[clip].sentence if clip in clips else None for clip in clip_ids)
    return Speech(tuple(clip_ids), voices.sequences, said)


def _refuse_stale(
    cache: Path,
    headers: Mapping[str, Mapping[str, EntryHeader]],
    clips: Mapping[str, Clip],
    progress: Callable[[int, int], None] | None,
) -> dict[str, str]:
    """Refuse entries that are stale; return the clips for which that couldn't be found out."""
    entries = [(find_set(cache, name), found) for name, found in headers.items()]
    found = check_freshness(entries, clips, progress=progress)
    if found.stale:
        raise StaleError(
            f"the features of {number_of(len(found.stale), 'clip')} are stale: "
            f"{name_by_reason(found.stale)}; run avfuse extract with the same manifest"
        )
    return found.unchecked


def _counting(
    on_read: Callable[[str, int, int], None] | None, unit: str
) -> Callable[[int, int], None] | None:
    return functools.partial(on_read, unit) if on_read else None


def _check_encoder(part: SetFeatures, settings: HeadSettings) -> None:
    embeddings = EMBEDDINGS & set(part.features.split("+"))
    if embeddings:
        found = embeddings.pop()
        steps = "auto" if found == STATISTICS else STEPS
        whole = f"audio.features={steps} to give it the steps, or " if found in SUMMARIES else ""
        raise CorpusError(
            f"audio.encoder={settings.audio.encoder} needs a spectrogram, and {found} "
            f"of the set {settings.audio.set} are embeddings; set {whole}audio.encoder=none"
        )


@dataclass(frozen=True)
class Available:
    """Corpus of the clips that were extracted, and the clips that it lacks.

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
    clips: Mapping[str, Clip] | None = None,
    speakers: Mapping[str, str | None] | None = None,
    votes: Mapping[str, Votes] | None = None,
    packs: Path | None = None,
    on_read: Callable[[str, int, int], None] | None = None,
) -> Available:
    """Load the features of as many clips as have any.

    Args:
        cache: the cache's folder.
        labels: clip id to label, for the clips wanted.
        settings: which sets and features the head uses.
        classes: the classes in order.
        clips: clip id to row of the manifest; see ``load_corpus``.
        speakers: clip id to speaker, for a normalisation per speaker.
        votes: clip id to votes, for a training on them.
        packs: folder of the packs; None: in the cache.
        on_read: see ``load_corpus``.

    Raises:
        FeaturesError: no clip was extracted into one of the sets, or a set doesn't offer the
            features.
        SetError: the cache has no such set, or several; names those it has.
        StaleError, CorpusError, VotesError, PackError, EntryError, ValueError, OSError: as
            ``load_corpus``.
    """
    used = _used_sets(cache, settings)
    without = _find_unextracted(used, sorted(labels))
    clip_ids = [clip for clip in sorted(labels) if clip not in without]
    corpus = load_corpus(
        cache,
        clip_ids,
        settings,
        clips=clips,
        labels={clip: labels[clip] for clip in clip_ids},
        classes=classes,
        speakers=speakers,
        votes=votes,
        packs=packs,
        on_read=on_read,
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
    """Name what a clip lacks in each modality; once where both lack the same."""
    reasons = {
        modality: ", ".join(corpus.missing[modality][i]) or _NO_STEPS
        for modality, part in corpus.sequences.items()
        if corpus.states[modality][i] != "ok" or part.lengths[i] == 0
    }
    if len(reasons) == len(corpus.sequences) and len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return "; ".join(f"{modality}: {reason}" for modality, reason in reasons.items())


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
    """Describe the used sets, then those that they are built on, where the cache still has them."""
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

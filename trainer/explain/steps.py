"""Steps that heads explain clips from: whole clips, and windows cut out of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.manifest.clip import Clip
from trainer.data.corpus import UNLABELLED, Corpus, load_corpus
from trainer.data.features import STEPS, SUMMARIES, read_features
from trainer.data.sequences import Sequences, join
from trainer.settings import HeadSettings


@dataclass(frozen=True)
class ClipSteps:
    """The steps of some clips, as heads read them and as they are in the cache.

    Args:
        corpus: as the heads read them.
        parts: modality to the steps of each of its sets, before any are summarised.
        names: modality to the names of these sets.
        whole: modality to the key of ``SUMMARIES`` of each of its sets, where heads read summaries.
    """

    corpus: Corpus
    parts: Mapping[str, Sequence[Sequences]]
    names: Mapping[str, Sequence[str]]
    whole: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def span(self, clip: int) -> tuple[float, float]:
        """Return the first and the last time of a clip's steps; 0 and 0 without a step."""
        times = [part[0].times_of(clip) for part in self.parts.values()]
        known = [part for part in times if len(part)]
        if not known:
            return 0.0, 0.0
        return min(float(part[0]) for part in known), max(float(part[-1]) for part in known)

    def cut(self, clips: NDArray[np.int64], windows: NDArray[np.float64]) -> Corpus:
        """Make a corpus of windows of clips, each as if it were a clip.

        Args:
            clips: (W,) the clip that each window is of.
            windows: (W, 2) first second of each window, and the second that it ends before.
        """
        ids = [f"{self.corpus.clip_ids[clip]}@{number}" for number, clip in enumerate(clips)]
        sequences = {}
        for name, parts in self.parts.items():
            own = [_cut(part, clips, windows) for part in parts]
            whole = self.whole.get(name)
            if whole:
                own = [SUMMARIES[one](part) for one, part in zip(whole, own, strict=True)]
            sequences[name] = join(own, ids, self.names[name])
        speakers = self.corpus.speakers
        return Corpus(
            clip_ids=tuple(ids),
            sequences=sequences,
            classes=self.corpus.classes,
            labels=np.full(len(ids), UNLABELLED),
            speakers=tuple(speakers[clip] for clip in clips) if speakers else (),
        )


def read_steps(
    cache: Path,
    clip_ids: Sequence[str],
    settings: HeadSettings,
    *,
    clips: Mapping[str, Clip] | None = None,
    speakers: Mapping[str, str | None] | None = None,
) -> ClipSteps:
    """Read the steps of clips. Nothing in the cache changes.

    Args:
        cache: the cache's folder.
        clip_ids: the clips.
        settings: the sets and features of the heads.
        clips: clip id to row of the manifest; see ``load_corpus``.
        speakers: clip id to speaker, for a normalisation per speaker.

    Raises:
        ValueError, OSError: see ``load_corpus``.
    """
    # Packs of the clips asked for: those of the cache are of whole corpora.
    with tempfile.TemporaryDirectory(prefix="avfuse-explain-") as folder:
        packs = Path(folder)
        corpus = load_corpus(cache, clip_ids, settings, clips=clips, speakers=speakers, packs=packs)
        parts: dict[str, Sequence[Sequences]] = {}
        whole: dict[str, Sequence[str]] = {}
        names: dict[str, Sequence[str]] = {}
        for name in settings.modalities:
            chosen = settings.modality(name)
            read = corpus.features[name].split("+")
            if not SUMMARIES.keys() & {*read}:
                parts[name], names[name] = [corpus.sequences[name]], [name]
                continue
            names[name], whole[name] = chosen.set.split("+"), read
            parts[name] = [
                read_features(cache, [one], clip_ids, STEPS, packs=packs).sequences
                for one in names[name]
            ]
    return ClipSteps(corpus, parts, names, whole)


def _cut(part: Sequences, clips: NDArray[np.int64], windows: NDArray[np.float64]) -> Sequences:
    """Cut windows out of clips; one after the other, though they overlap."""
    bounds = [
        part.offsets[clip] + np.searchsorted(part.times_of(clip), window)
        for clip, window in zip(clips, windows, strict=True)
    ]
    rows = np.concatenate([np.zeros(0, np.int64), *(np.arange(*bound) for bound in bounds)])
    lengths = [end - start for start, end in bounds]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Sequences(part.values[rows], part.times[rows], offsets)

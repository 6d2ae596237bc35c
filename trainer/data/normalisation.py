"""Normalisation: standard, fitted to the training clips and to nothing else, or per speaker.

Per speaker is *transductive*: the mean and deviation of a speaker come from all the speaker's
clips, also from those that are reported on. No label takes part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.corpus import Corpus, CorpusError
from trainer.data.features import Array, chunks
from trainer.data.sequences import Sequences
from trainer.settings import HeadSettings

# A deviation below this share of the mean is rounding, not variation.
CONSTANT = 1e-6


@dataclass(frozen=True)
class Normalisation:
    """Standard normalisation: subtract a mean, divide by a deviation, value by value of a step.

    Args:
        mean: shape of one step.
        deviation: the same shape, above 0.
    """

    mean: Array
    deviation: Array

    def apply(self, values: Array) -> Array:
        """Normalise (n, ...) steps into a new array."""
        result = np.subtract(values, self.mean, dtype=np.float32)
        result /= self.deviation
        return result


def fit_normalisation(values: Array, rows: NDArray[np.int64]) -> Normalisation:
    """Fit a normalisation to the steps of the training clips, and to nothing else.

    Args:
        values: (n, ...) steps of every clip.
        rows: indices of the training clips' steps.

    Returns:
        Mean and population deviation over those steps, computed in float64. Where the values do
        not vary the deviation is 1, so that they become 0.

    Raises:
        CorpusError: there is no row.
    """
    if not len(rows):
        raise CorpusError("no training clip has features to compute the normalisation from")
    mean = np.zeros(values.shape[1:])
    for part in chunks(len(rows)):
        mean += values[rows[part]].sum(axis=0, dtype=np.float64)
    mean /= len(rows)
    variance = np.zeros(values.shape[1:])
    for part in chunks(len(rows)):
        variance += np.square(values[rows[part]] - mean).sum(axis=0)
    deviation = np.sqrt(variance / len(rows))
    smallest = np.maximum(CONSTANT * np.abs(mean), np.finfo(np.float32).tiny)
    deviation[deviation <= smallest] = 1.0
    return Normalisation(mean.astype(np.float32), deviation.astype(np.float32))


def fit_normalisations(
    corpus: Corpus, train_clips: NDArray[np.int64], settings: HeadSettings
) -> dict[str, Normalisation]:
    """Fit a normalisation to every modality whose settings ask for one.

    Raises:
        CorpusError: no training clip has a step of a modality that the head uses.
    """
    check_modalities(corpus, train_clips, settings)
    fitted = {}
    for name in settings.modalities:
        if settings.modality(name).normalise == "standard":
            part = corpus.sequences[name]
            fitted[name] = fit_normalisation(part.values, part.rows(train_clips))
    return fitted


def check_modalities(
    corpus: Corpus, train_clips: NDArray[np.int64], settings: HeadSettings
) -> None:
    """Refuse training clips of which none has a step of a modality that the head uses.

    Raises:
        CorpusError: names the modality, and the setting that leaves it out.
    """
    for name in settings.modalities:
        if not corpus.has(name)[train_clips].any():
            others = [other for other in settings.modalities if other != name]
            raise CorpusError(
                f"none of the {len(train_clips)} training clips has {name}, which "
                f"fusion.kind={settings.fusion.kind} needs"
                + "".join(f"; to train without it: --set fusion.kind={other}" for other in others)
            )


def normalise(
    corpus: Corpus, normalisation: Mapping[str, Normalisation], settings: HeadSettings
) -> dict[str, Sequences]:
    """Return the normalised steps of the modalities that a head uses.

    Raises:
        CorpusError: the corpus lacks one of them.
    """
    result = {}
    for name in settings.modalities:
        if name not in corpus.sequences:
            raise CorpusError(f"fusion.kind={settings.fusion.kind} needs {name} features")
        part = corpus.sequences[name]
        if settings.modality(name).normalise == "per-speaker":
            result[name] = normalise_per_speaker(corpus, name)
            continue
        fitted = normalisation.get(name)
        result[name] = part if fitted is None else part.with_values(fitted.apply(part.values))
    return result


def normalise_per_speaker(corpus: Corpus, modality: str) -> Sequences:
    """Normalise each clip's steps by mean and deviation of all steps of the clip's speaker.

    Raises:
        CorpusError: a clip with steps has no speaker, or is its speaker's only one.
    """
    part = corpus.sequences[modality]
    clips: dict[str, list[int]] = {}
    for i, speaker in enumerate(corpus.speakers or (None,) * len(corpus)):
        if part.lengths[i]:
            clips.setdefault(speaker or "", []).append(i)
    unknown = clips.get("", [])
    if unknown:
        raise CorpusError(
            f"{modality}.normalise=per-speaker needs the speaker of every clip; "
            f"{len(unknown)} have none, {corpus.clip_ids[unknown[0]]} first"
        )
    values = np.empty_like(part.values, dtype=np.float32)
    for speaker, own in clips.items():
        if len(own) < 2:
            raise CorpusError(
                f"{modality}.normalise=per-speaker needs several clips of each speaker; "
                f"{speaker} has only {corpus.clip_ids[own[0]]}"
            )
        rows = part.rows(np.array(own))
        values[rows] = fit_normalisation(part.values, rows).apply(part.values[rows])
    return part.with_values(values)

"""Predict clips with a trained head: probabilities, and where the head looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from extractors.running.arithmetic import full_float32
from trainer.data.batches import BatchMaker, ordered_batches
from trainer.data.corpus import Corpus, CorpusError
from trainer.data.normalisation import normalise
from trainer.heads.classical import ClassicalHead
from trainer.heads.encoders import REACH, grid_times
from trainer.heads.head import Branch, Head
from trainer.heads.plugins import PluginEncoder
from trainer.training.loss import apply_prior
from trainer.training.temperature import temper
from trainer.training.trained import TrainedHead

BATCH = 64


@dataclass(frozen=True)
class Attention:
    """Weights of one clip's steps in one modality.

    Args:
        times: (L,) seconds; elements of an encoder's grid share a time with their neighbours.
        weights: (L,) weights that sum to 1; empty for a clip without the modality.
    """

    times: NDArray[np.float64]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class HeadPredictions:
    """Predictions of one head.

    Shapes (N clips, C classes), clips in the order they were asked for:
        ``logits``: (N, C), as the head yields them.
        ``probabilities``: (N, C), their softmax, multiplied by the head's prior, at its
        temperature.

    Args:
        clips: indices into the corpus.
        logits: before softmax and prior.
        probabilities: each row sums to 1.
        lengthened: (N,) True where the sound was shorter than the encoder's reach and was
            padded to it.
        attention: modality -> one ``Attention`` per clip; empty unless asked for.
    """

    clips: NDArray[np.int64]
    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    lengthened: NDArray[np.bool_]
    attention: dict[str, list[Attention]] = field(default_factory=dict)


@torch.no_grad()
def predict_head(
    head: TrainedHead,
    corpus: Corpus,
    clips: Sequence[int] | NDArray[np.int64],
    *,
    attention: bool = False,
    device: torch.device | str = "cpu",
) -> HeadPredictions:
    """Predict clips.

    Args:
        head: the head.
        corpus: the clips' features, the same that the head was trained on.
        clips: indices of the clips to predict.
        attention: also return the attention weights with their times.
        device: where to compute.

    Raises:
        CorpusError: the corpus lacks a modality that the head uses, or its features have
            another shape.
    """
    corpus = corpus.laid_along(head.templates)
    indices = np.asarray(clips, np.int64)
    for name, shape in head.shapes.items():
        if name in corpus.shapes and corpus.shapes[name] != shape:
            raise CorpusError(
                f"the head was trained on {name} steps of shape {shape}, got {corpus.shapes[name]}"
            )
    module = head.module().to(device)
    maker = BatchMaker(normalise(corpus, head.normalisation, head.settings), device)
    logits = np.zeros((len(indices), len(head.classes)))
    seen: dict[str, dict[int, Attention]] = {name: {} for name in head.settings.modalities}
    for rows in ordered_batches(maker.lengths[indices], np.arange(len(indices)), BATCH):
        batch = indices[rows]
        with full_float32(device):
            output = module(**maker.batch(batch))
        logits[rows] = output.logits.double().cpu().numpy()
        for name in seen if attention else ():
            weights = output.weights[name].double().cpu().numpy()
            times = _step_times(head, module, corpus, name, batch, weights.shape[1])
            for row, when, weight in zip(rows, times, weights, strict=True):
                seen[name][row] = Attention(when, weight[: len(when)])
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return HeadPredictions(
        clips=indices,
        logits=logits,
        probabilities=temper(apply_prior(probabilities, head.prior), head.temperature),
        lengthened=_lengthened(head, corpus)[indices],
        attention={n: [part[i] for i in range(len(part))] for n, part in seen.items() if attention},
    )


def _has_encoder(head: TrainedHead, modality: str) -> bool:
    return modality == "audio" and head.settings.audio.encoder != "none"


def _lengthened(head: TrainedHead, corpus: Corpus) -> NDArray[np.bool_]:
    """Say which clips' sound the encoder had to lengthen, (N,)."""
    if "audio" not in head.settings.modalities or not _has_encoder(head, "audio"):
        return np.zeros(len(corpus), np.bool_)
    lengths = corpus.sequences["audio"].lengths
    if head.settings.audio.encoder not in REACH:  # a plug-in's lengthens none
        return np.zeros(len(corpus), np.bool_)
    least: int = REACH[head.settings.audio.encoder].min_steps()
    return (lengths > 0) & (lengths < least)


def _step_times(
    head: TrainedHead,
    module: Head | ClassicalHead,
    corpus: Corpus,
    modality: str,
    batch: NDArray[np.int64],
    num_weights: int,
) -> list[NDArray[np.float64]]:
    """Seconds of each weight of each clip of a batch."""
    part = corpus.sequences[modality]
    times = [part.times_of(clip) for clip in batch]
    if not _has_encoder(head, modality):
        return times
    plugged = cast("Branch", cast("Head", module).branches[modality]).encoder
    if isinstance(plugged, PluginEncoder):
        return [plugged.times(seconds) for seconds in times]
    encoder = head.settings.audio.encoder
    reach = REACH[encoder]
    longest = max(reach.min_steps(), *map(len, times))
    bands = num_weights // reach.grid_steps(longest)
    return [grid_times(seconds, bands, encoder) for seconds in times]

"""Trained heads and their checkpoints: safetensors files, never pickled."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from cache.codec import fields_to_json, read_field
from cache.commit import write_whole
from extractors.plugins import PluginError, check_recorded
from trainer.data.corpus import Corpus
from trainer.data.normalisation import Normalisation
from trainer.data.sentences import MOST_SENTENCES, MOST_STEPS, NUM_STEPS, Templates
from trainer.heads.classical import ClassicalHead
from trainer.heads.head import Head, make_head
from trainer.settings import TrainSettings, settings_from_dict
from trainer.training.loss import prior_weights
from trainer.training.temperature import LEAST, MOST

FORMAT = "avfuse head 1"
TEMPERATURE = "temperature"  # a fact of a checkpoint, where it isn't 1
PLUGINS = "plugins"  # the fact of a checkpoint that names those of its head


class CheckpointError(ValueError):
    """A file that is not a checkpoint of a head, or a damaged one."""


@dataclass(frozen=True)
class EpochRecord:
    """Figures of one epoch of a training.

    Args:
        epoch: its number, from 1.
        loss: mean loss over the training clips, as they were trained on.
        train_accuracy: share of the training clips classified right while they were trained on.
        learning_rate: of the epoch's last batch.
        seconds: how long it took.
        validation_loss: cross-entropy on the validation clips; None without any.
        validation_accuracy: share of the validation clips classified right; None without any.
    """

    epoch: int
    loss: float
    train_accuracy: float
    learning_rate: float
    seconds: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class TrainedHead:
    """A head's parameters and everything needed to use them.

    Args:
        settings: what it was trained with.
        classes: names of the classes, in the order of the logits.
        shapes: modality -> shape of one step's features.
        state: the parameters, by name.
        normalisation: modality -> normalisation fitted on the training clips.
        prior: (C,) class weights that multiply the probabilities.
        seed: of this training.
        features: modality -> what is read of its set, never "auto".
        set_keys: name -> key of every feature set that it was trained on.
        untrained: whether random weights stand behind those features.
        history: one record per epoch.
        templates: of the sentences that voices are laid along; None without ``audio.align``.
        temperature: what log-probabilities are divided by, after the prior; 1 for none.
    """

    settings: TrainSettings
    classes: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    state: Mapping[str, Tensor]
    normalisation: Mapping[str, Normalisation]
    prior: NDArray[np.float64]
    seed: int
    features: Mapping[str, str]
    set_keys: Mapping[str, str]
    untrained: bool
    history: tuple[EpochRecord, ...] = ()
    templates: Templates | None = None
    temperature: float = 1.0

    def module(self) -> Head | ClassicalHead:
        """Build the head with its parameters, in evaluation mode."""
        if not self.settings.is_network:
            return ClassicalHead(self.settings, self.shapes, len(self.classes), self.state).eval()
        with torch.random.fork_rng(devices=[]):
            head = make_head(self.settings, self.shapes, len(self.classes))
        head.load_state_dict(dict(self.state))
        return head.eval()


def describe_trained(
    corpus: Corpus,
    train: NDArray[np.int64],
    settings: TrainSettings,
    seed: int,
    state: Mapping[str, Tensor],
    normalisation: Mapping[str, Normalisation],
    history: tuple[EpochRecord, ...],
) -> TrainedHead:
    """Put what a training yields beside what it was trained on; see ``TrainedHead``."""
    return TrainedHead(
        settings=settings,
        classes=corpus.classes,
        shapes={name: corpus.shapes[name] for name in settings.modalities},
        state=state,
        normalisation=normalisation,
        templates=corpus.templates,
        prior=prior_weights(settings.prior, corpus.classes, corpus.labels[train]),
        seed=seed,
        features=dict(corpus.features),
        set_keys=dict(corpus.set_keys),
        untrained=corpus.untrained,
        history=history,
    )


def save_checkpoint(head: TrainedHead, path: Path) -> Path:
    """Write a head to one safetensors file, complete or not at all, replacing an earlier one.

    Parameters are named ``head.<name>``; means and deviations
    ``normalisation.<modality>.mean`` and ``.deviation``, templates of sentences
    ``sentence.<number>``. Everything else is JSON in the file's metadata under ``avfuse``.

    Raises:
        OSError: the file can't be written.
    """
    tensors = {f"head.{name}": value.contiguous() for name, value in head.state.items()}
    for modality, fitted in head.normalisation.items():
        prefix = f"normalisation.{modality}"
        tensors[f"{prefix}.mean"] = torch.from_numpy(fitted.mean)
        tensors[f"{prefix}.deviation"] = torch.from_numpy(fitted.deviation)
    sentences: dict[str, list[str]] = {}
    if head.templates is not None:
        sentences["sentences"] = list(head.templates.sentences)
        for number, steps in enumerate(head.templates.steps):
            tensors[f"sentence.{number}"] = torch.from_numpy(steps)
    facts = {
        "format": FORMAT,
        "settings": fields_to_json(head.settings),
        "classes": list(head.classes),
        "shapes": {name: list(shape) for name, shape in head.shapes.items()},
        "prior": head.prior.tolist(),
        **({} if head.temperature == 1.0 else {TEMPERATURE: head.temperature}),
        "seed": head.seed,
        "features": dict(head.features),
        "set_keys": dict(head.set_keys),
        "untrained": head.untrained,
        "history": [fields_to_json(record) for record in head.history],
        **sentences,
        **({PLUGINS: used} if (used := head.settings.plugins()) else {}),
    }
    metadata = {"avfuse": json.dumps(facts, sort_keys=True, allow_nan=False)}
    return write_whole(path, safetensors.torch.save(tensors, metadata))


def load_checkpoint(path: Path) -> TrainedHead:
    """Read a head back.

    Raises:
        CheckpointError: the file is not a checkpoint of a head, was written by another version,
            does not hold exactly the parameters of its head, holds numbers that no training
            yields, or its head needs a plug-in that is not installed, or in another version.
        OSError: it can't be read.
    """
    try:
        with open_tensors(path) as (file, facts):
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except ValueError as error:
        raise CheckpointError(f"{path} is not a checkpoint of avfuse: {error}") from error
    if facts.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {facts.get('format')!r}, expected {FORMAT!r}; train the head again"
        )
    _check_plugins(path, facts)
    try:
        modalities = {name.split(".")[1] for name in tensors if name.startswith("normalisation.")}
        head = TrainedHead(
            settings=settings_from_dict(facts["settings"]),
            classes=tuple(facts["classes"]),
            shapes={name: tuple(shape) for name, shape in facts["shapes"].items()},
            state={n.removeprefix("head."): t for n, t in tensors.items() if n.startswith("head.")},
            normalisation={
                name: Normalisation(
                    tensors[f"normalisation.{name}.mean"].numpy(),
                    tensors[f"normalisation.{name}.deviation"].numpy(),
                )
                for name in sorted(modalities)
            },
            prior=np.array(facts["prior"], np.float64),
            seed=facts["seed"],
            features=facts["features"],
            set_keys=facts["set_keys"],
            untrained=facts["untrained"],
            history=tuple(EpochRecord(**record) for record in facts["history"]),
            templates=_read_templates(tensors, facts),
            temperature=_read_temperature(facts),
        )
        _check_numbers(head, tensors)
        _check_parameters(head)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: {error}") from error
    return head


def _check_parameters(head: TrainedHead) -> None:
    """Refuse missing, extra or misshapen parameters, by name.

    Nothing is allocated for sizes that the settings name and the parameters don't have, except by
    modules of plug-ins, which are tried as they are built.
    """
    if head.settings.is_network and not head.settings.plugins():
        with torch.device("meta"):
            shell = make_head(head.settings, head.shapes, len(head.classes))
        shell.load_state_dict(dict(head.state), assign=True)
    head.module()


def _check_numbers(head: TrainedHead, tensors: Mapping[str, Tensor]) -> None:
    """Refuse numbers that no training yields: their answers would mean nothing."""
    broken = [name for name, value in tensors.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(f"{broken[0]} holds nan or inf")
    prior = head.prior
    if prior.shape != (len(head.classes),) or not (np.isfinite(prior) & (prior >= 0)).all():
        raise ValueError(f"prior {prior.tolist()} of {len(head.classes)} classes")
    chosen = head.settings.modalities
    fitted = {name for name in chosen if head.settings.modality(name).normalise == "standard"}
    if fitted != head.normalisation.keys():
        raise ValueError(
            f"it has normalisations of {sorted(head.normalisation)}, expected {sorted(fitted)}"
        )
    for name, own in head.normalisation.items():
        if {own.mean.shape, own.deviation.shape} != {head.shapes[name]}:
            raise ValueError(f"the normalisation of {name} is not of steps {head.shapes[name]}")
        if not (own.deviation > 0).all():
            raise ValueError(f"a deviation of {name} is not above 0")
    if (head.templates is not None) != head.settings.aligns:
        raise ValueError("templates of sentences belong to audio.align=sentence, and only to it")


def _read_templates(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Templates | None:
    if "sentences" not in facts:
        return None
    sentences = read_field(facts, "sentences", tuple[str, ...])
    if not 1 <= len(sentences) <= MOST_SENTENCES:
        raise ValueError(f"it has {len(sentences)} sentences, expected 1 to {MOST_SENTENCES}")
    steps = tuple(tensors[f"sentence.{n}"].numpy() for n in range(len(sentences)))
    for one in steps:
        fits = one.ndim == 2 and one.shape[1] == NUM_STEPS and 1 <= len(one) <= MOST_STEPS
        if not fits or one.dtype != np.float32:
            raise ValueError(
                f"the template of a sentence is {one.shape} {one.dtype}, expected float32 of "
                f"(1 to {MOST_STEPS}, {NUM_STEPS})"
            )
    return Templates(sentences, steps)


def _read_temperature(facts: Mapping[str, Any]) -> float:
    value: float = read_field({TEMPERATURE: 1.0, **facts}, TEMPERATURE, float)
    if not LEAST <= value <= MOST:
        raise ValueError(f"temperature must be from {LEAST} to {MOST}, got {value}")
    return value


def _check_plugins(path: Path, facts: Mapping[str, Any]) -> None:
    """Refuse a head whose plug-ins aren't here, or in other versions."""
    try:
        for one in read_field({PLUGINS: [], **facts}, PLUGINS, list[dict[str, str]]):
            check_recorded(one["group"], one["name"], one)
    except PluginError as error:
        raise CheckpointError(f"the head {path} {error}") from error
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: {error}") from error


@contextlib.contextmanager
def open_tensors(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open a safetensors file of ours, together with the JSON facts of its header.

    Raises:
        ValueError: it is damaged, or no safetensors file.
        OSError: it can't be read.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("avfuse", "{}"))
            if not isinstance(facts, dict):
                raise ValueError(f"its facts are {type(facts).__name__}, expected a JSON object")
            yield file, facts
    except (safetensors.SafetensorError, RecursionError) as error:
        raise ValueError(str(error)) from error

"""Progress: an unfinished training on disk, so that a killed one continues with the same result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from cache.commit import write_whole
from cache.digest import digest_array, digest_json
from cache.settings import settings_to_dict
from trainer.data.corpus import Corpus
from trainer.settings import TrainSettings
from trainer.training.optim import load_optimiser_tensors, optimiser_tensors
from trainer.training.trained import CheckpointError, EpochRecord, read_tensors

FORMAT = "avfuse training 2"


def training_identity(
    corpus: Corpus,
    clips: Sequence[NDArray[np.int64]],
    heads: Sequence[tuple[TrainSettings, int]],
    stop: int,
    *,
    kind: str,
) -> str:
    """Digest everything that decides a training's bits on one machine.

    Args:
        corpus: the features, by what was read of each clip, and the labels.
        clips: the training clips, and those that are reported on.
        heads: settings and seed of each head that is trained.
        stop: the epoch after which it stops.
        kind: how: by itself, or as one of a stack.
    """
    return digest_json(
        {
            "heads": [[settings_to_dict(settings), seed] for settings, seed in heads],
            "kind": kind,
            "stop": stop,
            "classes": list(corpus.classes),
            "clips": [[corpus.clip_ids[i] for i in part] for part in clips],
            "labels": [corpus.labels[part].tolist() for part in clips],
            "set_keys": dict(corpus.set_keys),
            "read": {key: digest_json(sums) for key, sums in corpus.checksums.items()},
            "steps": {name: digest_array(part.offsets) for name, part in corpus.sequences.items()},
        }
    )


def save_progress(
    path: Path,
    identity: str,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: Sequence[EpochRecord],
) -> None:
    """Write where a training stands after an epoch, complete or not at all.

    Args:
        path: the file, replaced if it is there.
        identity: digest of everything that decides the training.
        module: the head as it is.
        optimiser: its optimiser.
        history: the epochs so far; of several heads epoch by epoch.

    Raises:
        OSError: it can't be written.
    """
    tensors = {f"head.{name}": value for name, value in module.state_dict().items()}
    for name, value in optimiser_tensors(module, optimiser).items():
        tensors[f"optimiser.{name}"] = value
    facts = {
        "format": FORMAT,
        "identity": identity,
        "history": [asdict(record) for record in history],
    }
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, safetensors.torch.save(contiguous, {"avfuse": json.dumps(facts)}))


def load_progress(
    path: Path | None, identity: str, module: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[EpochRecord, ...]:
    """Put a module and its optimiser where a killed training left them.

    Returns:
        The epochs that are done; none if there is no file, if it is damaged, or if it belongs to
        another training, which then starts afresh.
    """
    if path is None:
        return ()
    try:
        tensors, facts = read_tensors(path, FORMAT)
    except (OSError, CheckpointError):
        return ()
    if facts.get("identity") != identity:
        return ()
    parts: dict[str, dict[str, torch.Tensor]] = {"head": {}, "optimiser": {}}
    for full_name, value in tensors.items():
        part, _, name = full_name.partition(".")
        parts[part][name] = value
    module.load_state_dict(parts["head"])
    load_optimiser_tensors(module, optimiser, parts["optimiser"])
    return tuple(EpochRecord(**record) for record in facts["history"])

"""Identity of a fine-tuning run, and the checks before it starts or resumes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cache.codec import fields_to_json
from cache.commit import write_whole
from cache.digest import digest_array
from cache.version import own_version
from extractors.networks import NETWORKS, network_plugin
from extractors.weights.load import load_weights
from extractors.weights.tensors import weights_digest
from trainer.runs.folder import (
    CONFIG,
    CONFUSION,
    FORMAT,
    HISTORY,
    INFO,
    METRICS,
    PREDICTIONS,
    RunError,
    format_json,
)
from trainer.stills.images.parts import Copies, StillParts, describe_parts
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings
from trainer.training.identity import digest_identity
from trainer.training.state import read_progress

WEIGHTS, PROGRESS = "weights.safetensors", "progress.safetensors"
# Stands in the identity of a training that starts from no weights.
RANDOM = "random weights"


def resolve(train: Stills, settings: FinetuneSettings) -> tuple[Stills, FinetuneSettings]:
    """Choose the images that are learned, and fill in the sizes that the settings leave open.

    Raises:
        ValueError: there is nothing to train on, or the network takes no images of that size.
    """
    train = train.trainable() if settings.target == "votes" else train.testable()
    if len(train) == 0:
        raise ValueError(f"no training image has a target of the kind {settings.target}")
    if settings.network not in NETWORKS:
        raise ValueError(
            f"no network is called {settings.network!r}; there are {', '.join(NETWORKS)}"
        )
    spec = NETWORKS[settings.network]
    size = settings.image_size or spec.image_size
    settings = replace(settings, image_size=size, start_size=settings.start_size or size)
    if not spec.any_size and {size, settings.start_size} != {spec.image_size}:
        raise ValueError(
            f"{spec.name} takes images of {spec.image_size} pixels only; got image_size "
            f"{size}, start_size {settings.start_size}"
        )
    return train, settings


def training_identity(train: Stills, settings: FinetuneSettings, started_from: str) -> str:
    """Digest everything that decides a fine-tuning's result.

    Args:
        train: the images that are learned, as ``resolve`` chooses them.
        settings: as ``resolve`` writes them out.
        started_from: ``RANDOM``, or the digest of the network's first weights.
    """
    return digest_identity(
        {
            "settings": fields_to_json(settings),
            "images": digest_array(train.images),
            "targets": digest_array(train.targets),
            "classes": list(train.classes),
            "from": started_from,
            **network_plugin(settings.network),
        }
    )


def starting_point(network: str, weights: Path | None) -> str:
    """Digest the weights that a training starts from; ``RANDOM`` without any.

    Raises:
        WeightsError: they do not fit the network.
        OSError: they can't be read.
    """
    if weights is None:
        return RANDOM
    module = NETWORKS[network].build()
    load_weights(module, weights)
    return weights_digest(module)


def describe(
    parts: StillParts,
    settings: FinetuneSettings,
    identity: str,
    started_from: str,
    machine: Mapping[str, Any],
    *,
    copies: Copies,
    source: str,
    half: bool,
) -> dict[str, Any]:
    """Gather the facts of a run before it starts, as ``run.json`` holds them.

    Args:
        parts: the images.
        settings: as ``resolve`` writes them out.
        identity: of the training.
        started_from: what the identity says of the first weights.
        machine: the device and the number of threads.
        copies: the images that stand in training too; see ``find_copies``.
        source: where the images were read from.
        half: whether the weights are stored in half precision.
    """
    described = describe_parts(parts, copies)
    tested = {
        name: [described[name]["images_sha256"], described[name]["labels_sha256"]]
        for name in ("valid", "test")
    }
    return {
        "kind": "finetune",
        "version": own_version(),
        "torch": torch.__version__,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "identity": digest_identity(
            {"training": identity, "tested": tested, "half": half, "machine": dict(machine)}
        ),
        "training": identity,
        "classes": list(parts.classes),
        "network": settings.network,
        **network_plugin(settings.network),
        "from": started_from,
        "seed": settings.seed,
        "data": {"source": source, **described},
        "half": half,
        **machine,
    }


def adopt(run: Path, info: Mapping[str, Any], identity: str) -> None:
    """Turn a folder in which ``finetune`` left its state into a run that can be resumed.

    Nothing happens in a folder that is a run, or that holds no such state.

    Raises:
        OtherTrainingError: the state is of another training.
        StateError: it is damaged.
        RunError: the folder holds files of a run beside it.
        OSError: it can't be read.
    """
    if (run / INFO).exists() or not (run / PROGRESS).is_file():
        return
    read_progress(run / PROGRESS, identity)
    check_only_state(run)
    begun = {"format": FORMAT, "state": "failed", "reason": "begun without a run folder", **info}
    write_whole(run / INFO, format_json(begun))


def check_only_state(run: Path) -> None:
    """Check that a folder holds nothing that a run would overwrite.

    Raises:
        RunError: it does.
    """
    ours = (CONFIG, HISTORY, CONFUSION, WEIGHTS, METRICS, PREDICTIONS)
    if found := [name for name in ours if (run / name).exists()]:
        raise RunError(f"{run} holds {', '.join(found)} and no {INFO}; choose another folder")

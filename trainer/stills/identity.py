"""What makes two fine-tunings one: the images that are learned, the settings, the first weights."""

from __future__ import annotations

from dataclasses import replace

from cache.digest import digest_array, digest_json
from cache.settings import settings_to_dict
from extractors.networks import NETWORKS
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings

# What the identity of a training without weights to start from says of them.
RANDOM = "random weights"


def resolve(train: Stills, settings: FinetuneSettings) -> tuple[Stills, FinetuneSettings]:
    """Choose the images that are learned, and write the sizes out, so that one training is one.

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
            f"{spec.name} takes images of {spec.image_size} pixels and no others; got image_size "
            f"{size}, start_size {settings.start_size}"
        )
    return train, settings


def training_identity(train: Stills, settings: FinetuneSettings, started_from: str) -> str:
    """Digest all that decides a training's result.

    Args:
        train: the images that are learned, as ``resolve`` chooses them.
        settings: as ``resolve`` writes them out.
        started_from: ``RANDOM``, or the digest of the network's first weights.
    """
    return digest_json(
        {
            "settings": settings_to_dict(settings),
            "images": digest_array(train.images),
            "targets": digest_array(train.targets),
            "classes": list(train.classes),
            "from": started_from,
        }
    )

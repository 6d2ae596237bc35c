"""A fine-tuning that takes a second: a few images with votes, and a narrow ResNet-18."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from extractors.networks import NETWORKS, NetworkSpec
from extractors.resnet18 import ResNet18
from extractors.weights.facts import WeightFacts
from trainer.stills.images.parts import StillParts
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings

# A tenth of a second an epoch. ``network`` is one that the fixture ``narrow`` adds.
TINY = FinetuneSettings(
    network="narrow",
    image_size=17,
    start_size=11,
    growth_steps=2,
    grey=True,
    epochs=3,
    batch_size=5,
)
QUICK = replace(TINY, epochs=2)
# What the header of a weight file of that network states.
FACTS = WeightFacts("narrow", ("a", "b", "c"), 17, grey=True)
# ``TINY`` for the command line, with a network that every process knows: for tests that kill it.
# An epoch takes about a second; saving the state of the real width takes most of it.
TINY_OPTIONS = (
    "--preset=ferplus",
    "--set=image_size=17",
    "--set=start_size=11",
    "--set=growth_steps=2",
    "--set=epochs=3",
    "--set=batch_size=5",
)


def narrow_spec() -> NetworkSpec:
    """A ResNet-18 of width 3, which trains in no time."""
    return NetworkSpec(
        name="narrow",
        build=lambda: ResNet18(width=3),
        image_size=17,
        layers={"embedding": 24, "pooled": 24},
        mean=(127.5, 127.5, 127.5),
        deviation=(127.5, 127.5, 127.5),
        source="tests",
        any_size=NETWORKS["resnet18"].any_size,
    )


def make_votes(count: int) -> np.ndarray:
    """(N, 10) votes of ten people: the classes in turn, eight votes to two."""
    votes = np.zeros((count, 10), np.uint8)
    rows = np.arange(count)
    votes[rows, rows % 8] = 8
    votes[rows, (rows + 1) % 8] = 2
    return votes


def make_images(count: int, seed: int = 0, classes: int = 8, size: int = 13) -> np.ndarray:
    """(N, S, S) noise whose grey level tells the class; the classes come in turn."""
    noise = np.random.default_rng(seed).integers(0, 40, (count, size, size))
    levels = (np.arange(count) % classes) * (200 // (classes - 1))
    return (noise + levels[:, None, None]).astype(np.uint8)


def make_ferplus(folder: Path, train: int = 19, valid: int = 7, test: int = 11) -> Path:
    """Write a corpus as FER+ in ``.npz`` files; every image is another."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate({"train": train, "valid": valid, "test": test}.items()):
        images = make_images(count, seed)
        np.savez(folder / f"{part}.npz", images=images, votes=make_votes(count))
    return folder


def make_stills(count: int = 19, seed: int = 0) -> Stills:
    """Images of three classes in turn."""
    labels = np.arange(count) % 3
    return Stills(
        make_images(count, seed, classes=3),
        np.eye(3, dtype=np.float32)[labels],
        labels.astype(np.int64),
        ("happy", "angry", "sad"),
        tuple(f"image-{seed}-{number:03}" for number in range(count)),
    )


def make_parts(**changes: Any) -> StillParts:
    """Images to train on, to watch and to test on."""
    parts = {"train": make_stills(13, 0), "valid": make_stills(5, 1), "test": make_stills(11, 2)}
    return StillParts("npz", **{**parts, **changes})

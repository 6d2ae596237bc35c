"""Part ``finetune``: images a second of fine-tuning, on random images of FER+'s size and number."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from benchmarks.gpu.bench import Bench
from trainer.stills.finetune import Stopped, finetune
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings, load_config

IMAGES, SIZE, CLASSES = 28_709, 48, 8
FEW = 2_000  # in a rehearsal, in batches of 8
PRECISIONS: tuple[Literal["bfloat16", "float32"], ...] = ("bfloat16", "float32")
WARM_UP = 3  # updates that are not counted: convolutions are tuned, memory is taken


def measure(bench: Bench) -> Iterator[dict[str, Any]]:
    """Yield the rates of the recipe for FER+ (ResNet-18) and of IR-50, in two precisions."""
    recipe = replace(load_config("ferplus").training, start_size=0)
    networks = {"resnet18": recipe, "ir50": replace(recipe, network="ir50", image_size=0)}
    stills = make_stills(IMAGES if bench.on_gpu else FEW)
    found: dict[str, Any] = {}
    plan = [(name, one) for one in PRECISIONS for name in networks]
    for name, precision in plan:
        settings = replace(networks[name], precision=precision)
        if not bench.on_gpu:
            settings = replace(settings, batch_size=8)
        seconds = bench.budget / (len(plan) + 1)
        key = f"{name}, {precision}"
        found[key] = rate(stills, settings, bench.device, seconds)
        figures = [f"{key}: {one['images_per_second']} images/s" for key, one in found.items()]
        yield {"networks": found, "figures": figures}


def rate(stills: Stills, settings: FinetuneSettings, device: str, seconds: float) -> dict[str, Any]:
    """Train for some seconds and return the images a second, after a few updates."""
    times: list[float] = []
    ends = time.perf_counter() + seconds

    def stopped() -> bool:
        return len(times) > WARM_UP and time.perf_counter() > ends

    with contextlib.suppress(Stopped):  # as asked
        finetune(
            stills,
            stills.select(np.arange(1)),
            settings,
            device=device,
            on_update=lambda *_: times.append(time.perf_counter()),
            stopped=stopped,
        )
    updates = len(times) - WARM_UP
    took = times[-1] - times[WARM_UP - 1]
    return {
        "images_per_second": round(settings.batch_size * updates / took, 1),
        "updates": updates,
        "batch_size": settings.batch_size,
        "image_size": settings.image_size or "the network's own",
    }


def make_stills(count: int) -> Stills:
    """Random grey images with random votes."""
    rng = np.random.default_rng(0)
    votes = rng.random((count, CLASSES), dtype=np.float32)
    return Stills(
        rng.integers(0, 256, (count, SIZE, SIZE), np.uint8),
        votes / votes.sum(axis=1, keepdims=True),
        votes.argmax(axis=1),
        tuple("abcdefgh"),
        tuple(map(str, range(count))),
    )

"""Fixtures of the tests of stage two. Fixtures build; they never assert."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cache.manifest.manifest import Manifest
from extractors.networks import NETWORKS
from tests.trainer.experiment_helper import make_corpus
from tests.trainer.stills_helper import narrow_spec
from trainer.runs import experiment, report


# One corpus for all tests of a module that only read it: writing one takes longer than training on
# it. Modules with another corpus have fixtures of these names of their own.
@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """An extracted corpus in which no clip lacks anything."""
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def cache(manifest: Manifest) -> Path:
    """The cache beside that manifest."""
    return manifest.path.parent / "cache"


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a word instead of drawing: most of a small run's time goes into its pictures."""
    monkeypatch.setattr(experiment, "plot_history", lambda *_, **__: b"a picture")
    monkeypatch.setattr(report, "plot_confusion", lambda *_, **__: b"a picture")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A ResNet-18 of width 3 among the networks, so that fine-tuning it takes a second.

    On one thread: with more, PyTorch 2.13 writes beyond its memory in the gradient of strided
    kernels of one pixel with fewer than 16 channels, which no real network has.
    """
    monkeypatch.setitem(NETWORKS, "narrow", narrow_spec())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield "narrow"
    torch.set_num_threads(threads)

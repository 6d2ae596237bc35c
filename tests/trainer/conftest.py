"""Fixtures of the tests of stage two. Fixtures build; they never assert."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from extractors.networks import NETWORKS
from tests.trainer.stills_helper import narrow_spec
from trainer import experiment, results


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a word instead of drawing: most of a small run's time goes into its pictures."""
    monkeypatch.setattr(experiment, "plot_history", lambda *_, **__: b"a picture")
    monkeypatch.setattr(results, "plot_confusion", lambda *_, **__: b"a picture")


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

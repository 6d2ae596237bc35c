"""Embeddings of a batch that a device computes while its process goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Marks:
    """Moments in a device's work, of which the first and the last say when a step began and ended.

    On a GPU they are events between its kernels: nothing waits for them until ``seconds`` is asked.

    Args:
        device: the one that works.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._moments: list[Any] = []

    def add(self) -> None:
        """Mark the end of what the device was given so far."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # PyTorch's own
            event.record(torch.cuda.current_stream(self._device))
            self._moments.append(event)
        else:
            self._moments.append(time.perf_counter())

    def wait(self) -> None:
        """Wait until the device has come to the last mark."""
        if self._device.type == "cuda":
            self._moments[-1].synchronize()

    def seconds(self) -> list[float]:
        """Return the time from each mark to the next; the device has come to the last."""
        pairs = list(zip(self._moments, self._moments[1:], strict=False))
        if self._device.type == "cuda":
            return [before.elapsed_time(after) / 1000 for before, after in pairs]
        return [after - before for before, after in pairs]


@dataclass(frozen=True)
class Begun:
    """A batch in work, and its embeddings on their way to this side.

    Args:
        arrays: see ``FaceNetwork.extract``; on a GPU not to be looked at before ``wait``.
        marks: before the crops were brought to the device, after that, when the embeddings were
            computed, and when they are here.
    """

    arrays: Mapping[str, Tensor]
    marks: Marks

    def wait(self) -> dict[str, np.ndarray]:
        """Wait for the embeddings, and for no batch that was begun after this one."""
        self.marks.wait()
        return {name: values.numpy() for name, values in self.arrays.items()}

    def seconds(self) -> dict[str, float]:
        """Return what the device spent on this batch, by step; call after ``wait``."""
        brought, computed, returned = self.marks.seconds()
        return {"transfer": brought + returned, "network": computed}

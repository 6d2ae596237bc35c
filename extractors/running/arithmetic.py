"""Arithmetic on a GPU: float32 that is float32, and the generators of random numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def full_float32(device: str | torch.device, *, tuned: bool = False) -> Iterator[None]:
    """Convolve float32 as float32: on a GPU, PyTorch takes TensorFloat32's 10 bits otherwise.

    Args:
        device: where it is computed; a CPU needs nothing of it.
        tuned: let cuDNN time its convolutions and take the fastest, which may be another one, with
            another rounding, in the next process. Else it takes the same ones each time, and those
            that add up in a fixed order.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=tuned, deterministic=not tuned, allow_tf32=False
    ):
        yield


def other_generators(device: str | torch.device) -> list[torch.device]:
    """Return the devices whose generators a training uses beside the CPU's, for ``fork_rng``."""
    device = torch.device(device)
    return [] if device.type == "cpu" else [device]

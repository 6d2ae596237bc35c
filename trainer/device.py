"""Where heads are trained: on the CPU or on a GPU."""

from __future__ import annotations

import torch


def choose_device(device: str) -> str:
    """Say which device ``auto`` means, and check that the one asked for exists.

    Raises:
        ValueError: it is not a device, or not one of this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    # PyTorch raises RuntimeError and, without CUDA, AssertionError.
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"device {device!r} can't be used here: {first}") from error
    return device

"""Faults of a device, told from those of what it was given."""

from __future__ import annotations

import torch

# An error of memory is not always PyTorch's: CUDA's libraries have some of their own, and cuDNN
# finds no convolution whose working memory there is room for.
MEMORY_SIGNS = ("out of memory", "STATUS_ALLOC_FAILED", "unable to find an engine")


def lacks_memory(error: Exception) -> bool:
    """Whether an error is of a device's memory."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in MEMORY_SIGNS)
    )


def describe_fault(error: Exception, device: str | torch.device) -> str:
    """Say what is wrong with the device after an error where nothing smaller can be tried.

    After an illegal access or a loss of the device, CUDA fails whatever a process asks of it: so
    the device is tried.

    Returns:
        Why the device fails whatever it is given, and what to do; empty where it works.
    """
    if not isinstance(error, RuntimeError):
        return ""
    if lacks_memory(error):
        return (
            f"{device} has too little free memory: {_line(error)}\nEnd what else uses it, ask for "
            "less memory by a smaller --batch-size, or take another --device."
        )
    try:
        try_device(device)
    except RuntimeError as fault:
        return (
            f"{device} computes no more: {_line(error)} (then {_line(fault)})\nSee what the "
            "system says of it (nvidia-smi, dmesg), or take another --device."
        )
    return ""


def try_device(device: str | torch.device) -> None:
    """Compute a trifle on a device, and wait for it.

    Raises:
        RuntimeError: it can't.
    """
    torch.ones(2, device=device).sum().item()


def _line(error: Exception) -> str:
    """Return an error's first line: CUDA adds advice to programmers."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"

"""Device on which networks and heads compute: the CPU or a GPU."""

from __future__ import annotations

import torch


def choose_device(text: str) -> str:
    """Turn ``auto`` into ``cuda`` where there is a usable GPU and ``cpu`` elsewhere.

    Raises:
        ValueError: the text names no device, or one that this machine doesn't have.
    """
    if text == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = text.partition(":")
    if text != "cpu" and not (kind == "cuda" and (not number or number.isdecimal())):
        raise ValueError(f"--device {text}: expected auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {text}: PyTorch sees {torch.cuda.device_count()} CUDA devices")
    return text

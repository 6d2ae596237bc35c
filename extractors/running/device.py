"""Device on which networks and heads compute, and the precisions that it is made for.

PyTorch is loaded only to ask about a device that may be there.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

# Instruction sets by PyTorch's names, and by their makers'. Without them PyTorch computes in half
# precision all the same, 3 to 10 times slower than in float32 (benchmarks/NOTES.md). It has no
# float16 for Arm's processors.
HALF: dict[str, dict[str, str]] = {
    "bfloat16": {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "bf16": "Arm's BF16"},
    "float16": {"avx512_fp16": "AVX512-FP16", "amx_fp16": "AMX-FP16"},
}


def choose_device(text: str) -> str:
    """Turn ``auto`` into ``cuda`` where there is a usable GPU and ``cpu`` elsewhere.

    Raises:
        ValueError: the text names no device, or one that this machine doesn't have.
    """
    check_device(text)
    if text == "cpu":
        return text
    import torch

    if text == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    count = torch.cuda.device_count()
    if int(text.partition(":")[2] or 0) >= count:
        raise ValueError(f"--device {text}: PyTorch sees {count} CUDA devices")
    return text


def check_device(text: str) -> None:
    """Refuse a name of no device, and a GPU where there certainly is none, without PyTorch.

    Raises:
        ValueError: see ``choose_device``.
    """
    kind, colon, number = text.partition(":")
    if text not in ("auto", "cpu") and not (
        kind == "cuda" and (number.isdecimal() if colon else True)
    ):
        raise ValueError(f"--device {text}: expected auto, cpu, cuda or cuda:N")
    if kind == "cuda" and not may_have_gpu():
        raise ValueError(
            f"--device {text}: there are no CUDA devices here, as no driver of a GPU is "
            "installed; use --device cpu"
        )


def may_have_gpu() -> bool:
    """Whether PyTorch may find a GPU that it calls ``cuda``: one of NVIDIA, or one of AMD.

    On Linux, PyTorch reaches NVIDIA's through its driver's library, AMD's through a device file,
    and both through another in Windows' subsystem. False where there is none of them.
    """
    if sys.platform != "linux" or Path("/dev/kfd").exists() or Path("/dev/dxg").exists():
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def check_precision(precision: str, device: str) -> None:
    """Refuse half precision on a processor that has no instructions for it.

    Args:
        precision: ``float32``, ``bfloat16`` or ``float16``.
        device: where it is to be computed, as PyTorch names it; GPUs have every precision.

    Raises:
        ValueError: the processor lacks them, with what to use instead.
    """
    if precision not in HALF or not device.startswith("cpu"):
        return
    import torch

    has = torch.cpu.get_capabilities()
    sets = HALF[precision]
    if not any(has.get(name) for name in sets):
        raise ValueError(
            f"precision {precision}: this processor ({has.get('cpu_name', 'of unknown name')}) has "
            f"none of {', '.join(sets.values())} and would be several times slower than in "
            "float32; use precision float32, or a GPU"
        )

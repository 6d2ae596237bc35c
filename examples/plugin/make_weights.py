"""Write weights for tinynet: ``python make_weights.py tinynet.safetensors``.

They are drawn from a seed and have learned nothing. Yours come from a training, for instance by
``avfuse finetune IMAGES --network tinynet``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors.torch
import torch
from avfuse_example.tinynet import TinyNet


def make_weights(path: Path, seed: int = 0) -> None:
    """Write the parameters under their names, as avfuse reads them."""
    torch.manual_seed(seed)
    safetensors.torch.save_file(TinyNet().state_dict(), path)


if __name__ == "__main__":
    make_weights(Path(sys.argv[1]))

"""What a run states of itself beside the keys: versions, host, command, limits."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cache.settings import settings_to_dict
from pipeline.extract.settings import StageOneSettings

LIBRARIES = ("av", "dlib-bin", "h5py", "numpy", "opencv-python-headless", "torch")


def make_provenance(command: Sequence[str], settings: StageOneSettings) -> dict[str, Any]:
    """Return the facts that every entry of a run carries and no key covers."""
    return {
        "avfuse": version("avfuse"),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "host": platform.node(),
        "command": list(command or sys.argv),
        "limits": {**settings_to_dict(settings.decode), "hang_seconds": settings.hang_seconds},
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # such as a dlib that was built here, for CUDA
        return "not from its wheel"

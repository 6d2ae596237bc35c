"""Versions of what computes features: recorded, and compared with those that avfuse needs."""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from pipeline.workers.error import MEMORY, kind_of_fault

LIBRARIES = ("av", "dlib-bin", "h5py", "numpy", "opencv-python-headless", "torch")
# What a failure of a stage may come of; of another, such as a worker's death, of any of them.
DECODING = ("av", "libavcodec")
MATTERING: Mapping[str, tuple[str, ...]] = {
    "open": DECODING,
    "faces": (*DECODING, "dlib-bin", "numpy", "opencv-python-headless", "torch"),
    **dict.fromkeys(("audio", "spectrogram", "logmel", "voice"), (*DECODING, "numpy")),
}


def read_versions() -> dict[str, str]:
    """Return the versions of the libraries that compute features, and of PyAV's FFmpeg."""
    import av

    codecs = av.library_versions["libavcodec"]
    return {
        **{name: _version(name) for name in LIBRARIES},
        "libavcodec": ".".join(map(str, codecs)),
    }


def versions_for(stage: str, provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of a run that a failure in a stage may come of."""
    known = provenance.get("libraries", {})
    own = {"avfuse": str(provenance.get("avfuse", ""))}
    return own | {name: known[name] for name in MATTERING.get(stage, known) if name in known}


def describe_versions() -> str:
    """List the versions that are installed."""
    return ", ".join(f"{name} {_version(name)}" for name in ("avfuse", *LIBRARIES))


def list_versions() -> list[str]:
    """List the versions that a report of a fault needs beside avfuse's own.

    PyTorch is not loaded, as that takes seconds.
    """
    return [
        f"Python {platform.python_version()}",
        f"torch {_first_version('torch')}{_cuda_of_torch()}",
        f"dlib {_first_version('dlib-bin', 'dlib')}",
        f"OpenCV {_first_version('opencv-python-headless', 'opencv-python')}",
        f"PyAV {_first_version('av')}{_inside('av', 'ffmpeg_version_info', 'FFmpeg')}",
        f"h5py {_first_version('h5py')}{_inside('h5py.version', 'hdf5_version', 'HDF5')}",
        f"numpy {_first_version('numpy')}",
    ]


def _first_version(*libraries: str) -> str:
    for library in libraries:
        with contextlib.suppress(PackageNotFoundError):
            return version(library)
    return "absent"


def _inside(module: str, attribute: str, name: str) -> str:
    """Return the version of a library that another has inside."""
    try:
        return f" ({name} {getattr(importlib.import_module(module), attribute)})"
    except (ImportError, AttributeError):
        return ""


def _cuda_of_torch() -> str:
    """Return what PyTorch says of its CUDA in a file of its own."""
    spec = importlib.util.find_spec("torch")
    for folder in (spec and spec.submodule_search_locations) or ():
        with contextlib.suppress(OSError):
            said = (Path(folder) / "version.py").read_text(encoding="utf-8")
            found = re.search(r"^cuda\b.*= *'([\d.]+)'", said, re.MULTILINE)
            return f" (CUDA {found[1]})" if found else " (without CUDA)"
    return ""


def find_outdated() -> str:
    """Name what is installed in an older version than avfuse needs; empty where nothing is."""
    try:
        needs = requires("avfuse") or []
    except PackageNotFoundError:  # it runs from its folder alone
        return ""
    found = []
    for need in needs:
        match = re.fullmatch(r"([\w.-]+) *>= *([\d.]+)", need)  # no extras
        if match and _numbers(installed := _version(match[1])) < _numbers(match[2]):
            found.append(f"{match[1]} is {installed}, and avfuse needs {match[2]} or newer")
    return "; ".join(found)


def explain_import(error: ImportError) -> str:
    """Say which library can't be loaded, and what it needs: memory, or a newer version."""
    text = f"a library can't be loaded: {error}"
    if kind_of_fault(error) == MEMORY:
        return f"{text}\nThis machine, or a limit (ulimit -v), has too little memory for it."
    outdated = find_outdated()
    return f"{text}\n{outdated}. Install what is needed." if outdated else text


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # such as a dlib that was built here, for CUDA
        return "not from its wheel"


def _numbers(text: str) -> tuple[float, ...]:
    """Return the leading numbers of a version; infinity for one that isn't known."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(float, match[0].split("."))) if match else (float("inf"),)

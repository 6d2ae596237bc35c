"""Identity of a training: one digest of everything that decides its result on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache.digest import digest_json


class OtherTrainingError(ValueError):
    """Unfinished training with another identity than was asked for; names its file or folder."""


def digest_identity(decides: Mapping[str, Any]) -> str:
    """Digest what decides a training's result, as JSON values by name."""
    return digest_json(decides)


def check_identity(path: Path, found: Any, identity: str | None) -> None:
    """Check that an unfinished training is the one that is asked for.

    Args:
        path: the file or folder that holds it.
        found: the identity that it states; None if it states none.
        identity: the identity of the training asked for; None if it has none.

    Raises:
        OtherTrainingError: they differ.
    """
    if found != identity:
        raise OtherTrainingError(
            f"{path} holds an unfinished training with other settings, clips, entries, seeds, "
            "images, first weights, device or threads; give those it was started with, choose "
            "another folder, or pass --overwrite to start anew"
        )

"""Labels of faces: what a person sees in every tenth frame of a clip; see the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.faces.tracks import Box

FOLDER = Path(__file__).parent / "labels"
EVERY = 10  # frames
FACE, UNCLEAR, DRAWN = KINDS = ("face", "unclear", "drawn")


@dataclass(frozen=True)
class Label:
    """One labelled box of one frame.

    Args:
        box: left, top, right, bottom in pixels.
        person: whose face it is, a name that is good within the clip.
        kind: ``face`` is asked for; ``unclear`` and ``drawn`` are neither asked for nor counted
            against a box.
        seen_by: independent detectors that see this face.
    """

    box: Box
    person: str
    kind: str
    seen_by: tuple[str, ...] = ()

    @property
    def side(self) -> float:
        """The shorter side in pixels."""
        left, top, right, bottom = self.box
        return min(right - left, bottom - top)


@dataclass(frozen=True)
class ClipLabels:
    """Labels of one clip: (height, width) of its frames, and the labels by number of the frame."""

    frame_size: tuple[int, int]
    frames: dict[int, list[Label]]


def read_labels(folder: Path = FOLDER) -> dict[str, ClipLabels]:
    """Read every file of labels in a folder; clips are named ``folder/file``.

    Raises:
        ValueError: a box is empty or outside its frame, a kind unknown, or a frame not a tenth one.
    """
    clips = {}
    for file in sorted(folder.glob("*.json")):
        for clip, values in json.loads(file.read_text()).items():
            height, width = values["frame_size"]
            frames = {
                int(number): [
                    _label(each, (height, width), f"{clip}, frame {number}") for each in labels
                ]
                for number, labels in values["frames"].items()
            }
            if any(number % EVERY for number in frames):
                raise ValueError(f"{clip}: expected labels of frames 0, {EVERY}, {2 * EVERY} ...")
            clips[clip] = ClipLabels((height, width), frames)
    return clips


def _label(values: dict[str, Any], size: tuple[int, int], where: str) -> Label:
    left, top, right, bottom = map(float, values["box"])
    height, width = size
    if not (
        left < right and top < bottom and right > 0 and bottom > 0 and left < width and top < height
    ):
        raise ValueError(
            f"{where}: the box {values['box']} is empty or outside the frame of {width}x{height}"
        )
    if values["kind"] not in KINDS:
        raise ValueError(f"{where}: kind must be one of {', '.join(KINDS)}, got {values['kind']!r}")
    seen_by = tuple(values.get("seen_by", ()))
    return Label((left, top, right, bottom), values["person"], values["kind"], seen_by)

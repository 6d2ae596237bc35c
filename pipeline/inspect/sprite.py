"""All frames of a clip as small crops in one picture, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.choice.choice import FaceArrays
from pipeline.faces.tracks import SEEN, BoxSource
from pipeline.inspect.drawing import encode_jpeg

SIDE = 64  # of a crop in pixels
COLUMNS = 20
MOST_FRAMES = 400  # of one picture; of a longer clip every second frame, every third ...
QUALITY = 60


@dataclass(frozen=True)
class Small:
    """One frame of a sprite.

    Args:
        frame: its number.
        seconds: its time.
        source: how its face was found, as in a table; "no face" without one.
        followed: whether no detector saw the face in this frame.
        track: number of the chosen track; -1 for none or one by hand.
        person: its name, if known.
        column: where it is in the picture, from 0.
        line: the same.
    """

    frame: int
    seconds: float
    source: str
    followed: bool
    track: int
    person: str
    column: int
    line: int

    def describe(self) -> str:
        """Say in words what is seen."""
        whose = f", track {self.track} {self.person}".rstrip() if self.track >= 0 else ""
        return f"{self.seconds:.2f} s: {self.source}{whose}"


@dataclass(frozen=True)
class Sprite:
    """Small crops of a clip's frames.

    Args:
        picture: JPEG, ``COLUMNS`` crops of ``SIDE`` pixels in a line.
        frames: those shown, in order.
        num_frames: of the whole clip.
    """

    picture: bytes
    frames: tuple[Small, ...]
    num_frames: int

    @property
    def size(self) -> int:
        """Bytes that it takes on a page."""
        return len(self.picture) * 4 // 3 + 200 * len(self.frames)

    @property
    def title(self) -> str:
        """Number of frames that are shown, in words."""
        if len(self.frames) == self.num_frames:
            return f"all {self.num_frames} frames"
        return f"{len(self.frames)} of {self.num_frames} frames, evenly"


def choose_frames(num: int) -> list[int]:
    """Return the numbers of the frames to show: all, or every second, third ... of many."""
    return list(range(0, num, max(1, -(-num // MOST_FRAMES))))


def make_sprite(
    crops: Mapping[int, np.ndarray], faces: FaceArrays, people: Mapping[int, str]
) -> Sprite:
    """Put the crops of frames into one picture.

    Args:
        crops: number of a frame to its crop, (H, W, 3), uint8; at least one.
        faces: the chosen face of every frame of the clip.
        people: number of a track to the name of its person.
    """
    lines = -(-len(crops) // COLUMNS)
    picture = np.full((lines * SIDE, min(COLUMNS, len(crops)) * SIDE, 3), 255, np.uint8)
    frames = []
    for place, (frame, crop) in enumerate(sorted(crops.items())):
        line, column = divmod(place, COLUMNS)
        top, left = line * SIDE, column * SIDE
        picture[top : top + SIDE, left : left + SIDE] = shrink(crop)
        source, track = BoxSource(int(faces.rung[frame])), int(faces.track[frame])
        lost = source == BoxSource.WHOLE
        frames.append(
            Small(
                frame,
                float(faces.times[frame]),
                "no face" if lost else source.name.lower(),
                not lost and source not in SEEN,
                track,
                people.get(track, ""),
                column,
                line,
            )
        )
    return Sprite(encode_jpeg(picture, QUALITY), tuple(frames), len(faces.times))


def shrink(crop: np.ndarray) -> np.ndarray:
    """Return a crop as small as it is shown: (SIDE, SIDE, 3), uint8."""
    small: np.ndarray = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small

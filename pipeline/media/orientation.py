"""Turning a frame upright, as the display matrix in the file asks."""

from __future__ import annotations

import av
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer

IDENTITY = ((1, 0), (0, 1))


def display_matrix(frame: av.VideoFrame) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the linear part of a frame's display matrix, rounded to quarter turns and mirrors.

    Row vectors: a stored pixel (x, y) is shown at (x, y) times the matrix, up to a shift. A matrix
    that isn't a quarter turn (with or without mirror) is taken as the identity.
    """
    # Not frame.side_data: the frame would keep it, and it the frame, until a garbage collection,
    # which a few hundred frames don't bring on. A string, as the stubs know no other key.
    data = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # a stub lacks it
    if not isinstance(data, SideData):
        return IDENTITY
    values = np.frombuffer(bytes(data), dtype="<i4")
    if values.size != 9:
        return IDENTITY
    linear = values.reshape(3, 3)[:2, :2].astype(np.float64)
    scale = np.abs(linear).max()
    if scale == 0:
        return IDENTITY
    (a, b), (c, d) = np.rint(linear / scale).astype(int).tolist()
    if abs(a * d - b * c) != 1 or abs(a) + abs(b) != 1:
        return IDENTITY
    return (a, b), (c, d)


def upright(image: np.ndarray, matrix: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """Show an image as ``display_matrix`` says.

    Shapes:
        ``image``: (H, W, 3).
        result: (H, W, 3), or (W, H, 3) after a quarter turn; a view where that is enough.
    """
    (a, b), (c, d) = matrix
    if a == 0:  # x goes to y: transpose, then x is shown along c and y along b
        image = image.swapaxes(0, 1)
        return image[:: 1 if b > 0 else -1, :: 1 if c > 0 else -1]
    return image[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1]

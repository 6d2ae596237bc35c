from __future__ import annotations

import numpy as np
import pytest

from benchmarks.faces.labels import ClipLabels, Label
from benchmarks.faces.variants import AS_IS, VARIANTS, Variant
from pipeline.faces.tracks import Box
from pipeline.media.frames import Frames

HEIGHT, WIDTH = 22, 34
BOX: Box = (4, 6, 16, 18)


def frames_of(*lengths: int) -> list[Frames]:
    """Chunks whose frames are black, but for the box, which has the number of the frame."""
    chunks, first = [], 0
    for length in lengths:
        numbers = np.arange(first, first + length)
        images = np.zeros((length, HEIGHT, WIDTH, 3), np.uint8)
        images[:, 6:18, 4:16] = 100 + numbers[:, None, None, None]
        chunks.append(Frames(images, numbers / 25))
        first += length
    return chunks


@pytest.mark.parametrize(
    ("variant", "box", "values"),
    [
        (AS_IS, BOX, [100, 101, 102, 103, 104, 105, 106]),
        (VARIANTS["half"], (2, 3, 8, 9), [100, 101, 102, 103, 104, 105, 106]),
        (VARIANTS["mirrored"], (18, 6, 30, 18), [100, 101, 102, 103, 104, 105, 106]),
        (VARIANTS["sparse"], BOX, [100, 102, 104, 106]),
        (VARIANTS["dark"], BOX, [30, 30, 30, 30, 31, 31, 31]),
    ],
)
def test_labels_stay_on_what_they_mark(variant: Variant, box: Box, values: list[int]) -> None:
    chunks = list(variant.frames(frames_of(3, 1, 3)))
    images = np.concatenate([chunk.images for chunk in chunks])
    labels = variant.labels(ClipLabels((HEIGHT, WIDTH), {0: [], 10: [Label(BOX, "A", "face")]}))
    assert labels.frame_size == images.shape[1:3]
    assert labels.frames == {0: [], 10 // variant.every: [Label(box, "A", "face")]}
    left, top, right, bottom = map(int, box)
    assert [int(image[top:bottom, left:right].min()) for image in images] == values
    outside = images.copy()
    outside[:, top:bottom, left:right] = 0
    assert not outside.any()
    times = np.concatenate([chunk.times for chunk in chunks])
    np.testing.assert_array_equal(times, np.arange(0, 7, variant.every) / 25)

"""Still images in memory, with a target for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Stills:
    """Images of faces, what each is trained towards and what it is tested against.

    Shapes (N images, C classes):
        ``images``: (N, S, S) grey or (N, S, S, 3) RGB, uint8.
        ``targets``: (N, C), float32, rows that sum to 1, or 0 where an image is not trained on.
        ``labels``: (N,), class 0 to C - 1, or -1 where an image is not tested.

    Attributes:
        images: see above.
        targets: see above.
        labels: see above.
        classes: names of the C classes.
        names: of each image, for messages.

    Raises:
        ValueError: the shapes or types do not fit each other.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        shape, count = self.images.shape, len(self.images)
        square = len(shape) >= 3 and shape[1] == shape[2]
        if not square or self.images.dtype != np.uint8 or shape[3:] not in ((), (3,)):
            raise ValueError(
                f"images must be (N, S, S) or (N, S, S, 3) uint8, got {shape} {self.images.dtype}"
            )
        expected = (count, len(self.classes))
        if self.targets.shape != expected or self.labels.shape != (count,):
            raise ValueError(
                f"{count} images of {len(self.classes)} classes need targets {expected} and labels "
                f"({count},), got {self.targets.shape} and {self.labels.shape}"
            )
        if len(self.names) != count:
            raise ValueError(f"{count} images need as many names, got {len(self.names)}")

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: NDArray[np.int64]) -> Stills:
        """Return some of the images, in the order of ``indices``."""
        return Stills(
            self.images[indices],
            self.targets[indices],
            self.labels[indices],
            self.classes,
            tuple(self.names[i] for i in indices),
        )

    def trainable(self) -> Stills:
        """Return the images that have a target."""
        return self._where(self.targets.sum(axis=1) > 0)

    def testable(self) -> Stills:
        """Return the images that have a label."""
        return self._where(self.labels >= 0)

    def _where(self, wanted: NDArray[np.bool_]) -> Stills:
        # A copy of all images costs gigabytes where there are many.
        return self if wanted.all() else self.select(np.flatnonzero(wanted))

"""How still images are read, divided and stored."""

from __future__ import annotations

from dataclasses import dataclass

from cache.ranges import check_at_least, check_shares


@dataclass(frozen=True)
class DataSettings:
    """What is made of a folder of still images before the training.

    Attributes:
        size: side in pixels of the stored images; 0 takes the network's input, rounded up to a
            multiple of 8. Arrays (``.npz``, FER+ as CSV) are taken as they are.
        valid_share: share of the training images that is held out, class by class, where the
            corpus has no validation images of its own.
        test_share: the same for the test images, where it has neither.
        split_seed: of the choice of those.
        train_on_valid: learn from the validation images too, as icmi19 does on FER+.
        box_extend: how much larger than the given box a face is cut out, in total (AffectNet).
        max_unreadable: largest share of the images that may be unreadable.
        max_pixels: of one image file; a larger one counts as unreadable.

    Raises:
        ValueError: a share or size is out of its range.
    """

    size: int = 0
    valid_share: float = 0.1
    test_share: float = 0.1
    split_seed: int = 0
    train_on_valid: bool = False
    box_extend: float = 0.0
    max_unreadable: float = 0.01
    max_pixels: int = 64_000_000

    def __post_init__(self) -> None:
        for name in ("valid_share", "test_share"):
            if not 0 < getattr(self, name) <= 0.5:
                raise ValueError(
                    f"{name} must be above 0 and at most 0.5, got {getattr(self, name)}"
                )
        check_shares(self, "max_unreadable")
        if not 0 <= self.size <= 1024:
            raise ValueError(f"size must be from 0 to 1024 pixels, got {self.size}")
        if not 0 <= self.box_extend <= 4:
            raise ValueError(f"box_extend must be from 0 to 4, got {self.box_extend}")
        check_at_least(0, self, "split_seed")
        # Pillow's own limit is a little above.
        if not 1 <= self.max_pixels <= 150_000_000:
            raise ValueError(f"max_pixels must be from 1 to 150000000, got {self.max_pixels}")

"""Settings of the views that are made of a face crop, and the sets that have a name.

They load no PyTorch, so that a command can refuse an unknown set of views at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Border = Literal["reflect", "edge", "zeros"]
PADDING_MODES = {"reflect": "reflection", "edge": "border", "zeros": "zeros"}


@dataclass(frozen=True)
class View:
    """One augmented variant: mirror where ``flip``, rotate by degrees, enlarge by ``scale``."""

    rotation: float
    scale: float
    flip: bool

    @property
    def is_warped(self) -> bool:
        """Whether pixels are interpolated; if not, the view is the crop or its mirror image."""
        return self.rotation != 0 or self.scale != 1


@dataclass(frozen=True)
class ViewSettings:
    """Views to make of a crop: every rotation with every scale, and mirrored.

    Attributes:
        rotations: degrees, counter-clockwise; 0 must be among them.
        scales: factors; above 1 enlarges the face; 1 must be among them.
        flip: whether each of them is also made of the mirror image.
        border: what lies outside the crop: ``reflect`` mirrors at its outer edge
            (cv2.BORDER_REFLECT), ``edge`` repeats the last pixel, ``zeros`` is black.
        interpolation: ``bilinear`` or ``bicubic`` (clamped to 0..255).
        centre: of rotation and scale, as a share of width and height.

    Raises:
        ValueError: a value is outside these limits or repeated.
    """

    rotations: tuple[float, ...] = (-2.0, 0.0, 2.0)
    scales: tuple[float, ...] = (1.0, 1.03, 1.07)
    flip: bool = True
    border: Border = "reflect"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    centre: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        numbers = (*self.rotations, *self.scales, *self.centre)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"rotations, scales and centre must be finite, got {numbers}")
        if 0 not in self.rotations or 1 not in self.scales:
            raise ValueError(
                "rotations must hold 0 and scales 1, because the view that is the crop itself "
                f"yields the basic embedding; got {self.rotations} and {self.scales}"
            )
        if min(self.scales) <= 0:
            raise ValueError(f"scales must be above 0, got {self.scales}")
        for name in ("rotations", "scales"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} must not repeat a value, got {values}")
        if self.border not in PADDING_MODES:
            raise ValueError(f"border must be one of {sorted(PADDING_MODES)}, got {self.border!r}")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(
                f"interpolation must be bilinear or bicubic, got {self.interpolation!r}"
            )
        if len(self.centre) != 2:
            raise ValueError(f"centre must be two shares, x and y, got {self.centre}")

    @property
    def views(self) -> tuple[View, ...]:
        """Every view, the crop itself first, then by rising rotation and scale, mirrors last."""
        rotations = sorted(self.rotations, key=lambda angle: (abs(angle), angle))
        scales = sorted(self.scales, key=lambda scale: (abs(scale - 1), scale))
        flips = (False, True) if self.flip else (False,)
        return tuple(View(r, s, f) for f in flips for r in rotations for s in scales)


# The papers' two sets (icmi19, table 3), the crop alone, and the crop with its mirror image.
VIEW_SETS: dict[str, ViewSettings] = {
    "default": ViewSettings(),
    "wide": ViewSettings(rotations=(-15.0, 0.0, 15.0), scales=(0.75, 1.0, 1.25)),
    "basic": ViewSettings(rotations=(0.0,), scales=(1.0,), flip=False),
    "mirror": ViewSettings(rotations=(0.0,), scales=(1.0,)),
}
PREDICTED_VIEWS = "mirror"  # which the default network looks at in `avfuse predict`

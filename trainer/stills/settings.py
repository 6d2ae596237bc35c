"""What decides a fine-tuning's result, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cache.ranges import check_at_least, check_shares

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class AugmentSettings:
    """How a training image is varied; every range is drawn from anew for each image and epoch.

    Attributes:
        flip: mirror half of the images.
        rotation_degrees: largest rotation either way.
        scale: largest zoom either way, as a factor: 1.2 draws from 1/1.2 to 1.2.
        shift: largest shift either way, as a share of the image.
        brightness: largest shift of the grey level either way, as a share of the range.
        contrast: largest factor of contrast either way, as ``scale``.
        erase: probability of covering a rectangle of 2 to 20 percent of the area by its mean.
        mixup: parameter of the Beta distribution by which two images and their targets are mixed;
            0 mixes none.
    """

    flip: bool = True
    rotation_degrees: float = 12.0
    scale: float = 1.2
    shift: float = 0.08
    brightness: float = 0.15
    contrast: float = 1.3
    erase: float = 0.25
    mixup: float = 0.0

    def __post_init__(self) -> None:
        check_at_least(0, self, "rotation_degrees", "shift", "brightness", "mixup")
        check_at_least(1, self, "scale", "contrast")
        if not 0 <= self.erase <= 1:
            raise ValueError(f"erase must be between 0 and 1, got {self.erase}")


# Up to here a ResNet's last stage sees a single pixel, and on a processor PyTorch 2.13 makes the
# gradient of a strided kernel there out of whatever its memory holds.
TOO_SMALL_FOR_BFLOAT16 = 16


@dataclass(frozen=True)
class FinetuneSettings:
    """A fine-tuning.

    Attributes:
        network: a face network, by its name in ``extractors.networks``.
        image_size: pixels of the network's input at the end of training and afterwards; 0 takes
            the network's own.
        start_size: pixels at the start; 0 takes ``image_size``. Between them the size grows in
            ``growth_steps`` equal steps: small images first cost less and end the same (Tan & Le,
            "EfficientNetV2", ICML 2021, section 4).
        growth_steps: different sizes in the course of the training.
        grey: turn colour images to grey, in training and wherever the network is used.
        target: ``votes`` learns the distribution of the votes, ``majority`` their majority.
        label_smoothing: share of each target spread over all classes.
        balance: ``none``, or ``sqrt`` or ``full``: weigh a class by its number of images to the
            power of -1/2 or -1, means to 1 over the training images.
        epochs: passes over the training images.
        batch_size: images in an update.
        learning_rate: the highest; reached after ``warmup``, then down to 0 in a half cosine (one
            cycle: Smith & Topin, "Super-Convergence", 2019).
        warmup: share of the updates before that.
        weight_decay: of matrices and kernels, not of biases and norms.
        momentum: of SGD, after Nesterov.
        ema: decay per update of the averaged parameters, which are what is kept; 0 keeps the last.
        dropout: probability of dropping a value of the embedding in training.
        precision: of convolutions and products; parameters stay in float32. ``bfloat16`` needs
            images of more than 16 pixels.
        seed: of the initialisation where no weights are given, the order and every draw.
        augment: how images are varied.
    """

    network: str = "resnet18"
    image_size: int = 0
    start_size: int = 0
    growth_steps: int = 3
    grey: bool = False
    target: Literal["votes", "majority"] = "votes"
    label_smoothing: float = 0.0
    balance: Literal["none", "sqrt", "full"] = "none"
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 0.1
    warmup: float = 0.2
    weight_decay: float = 5e-4
    momentum: float = 0.9
    ema: float = 0.998
    dropout: float = 0.1
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = 0
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        check_at_least(1, self, "growth_steps", "epochs", "batch_size")
        check_at_least(0, self, "image_size", "start_size", "weight_decay", "seed")
        check_shares(self, "label_smoothing", "warmup", "ema", "dropout", "momentum")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )

        if self.precision == "bfloat16" and 0 < self._smallest_size <= TOO_SMALL_FOR_BFLOAT16:
            raise ValueError(
                f"precision=bfloat16 needs images of more than {TOO_SMALL_FOR_BFLOAT16} pixels, "
                f"got {self._smallest_size}: use larger ones or precision=float32"
            )

    @property
    def _smallest_size(self) -> int:
        return min((size for size in (self.start_size, self.image_size) if size), default=0)

    def size_at(self, epoch: int) -> int:
        """Return the size of the training images of one epoch, from 0, in pixels."""
        start = self.start_size or self.image_size
        if self.growth_steps == 1 or start == self.image_size:
            return self.image_size
        step = min(self.growth_steps - 1, epoch * self.growth_steps // self.epochs)
        return start + round((self.image_size - start) * step / (self.growth_steps - 1))

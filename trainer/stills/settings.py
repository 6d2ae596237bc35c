"""Settings of a fine-tuning: images, augmentation, network and training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cache.codec import ADDED
from cache.settings import (
    Overrides,
    SettingsError,
    check_at_least,
    check_shares,
    merge,
    parse_overrides,
    read_toml,
    settings_from,
)
from extractors.networks import NETWORKS
from extractors.running.settings import PRECISIONS
from trainer.settings import find_toml

PRESETS = Path(__file__).parent / "presets"
ROUNDING = 8  # of the side of stored images, in pixels
# Up to here a ResNet's last stage sees a single pixel, and on a processor PyTorch 2.13 makes the
# gradient of a strided kernel there out of whatever its memory holds.
TOO_SMALL_FOR_BFLOAT16 = 16


@dataclass(frozen=True)
class FilmSettings:
    """Ranges by which training images are made to look like faces in film; none by default.

    Attributes:
        share: of the images, drawn anew in each epoch, that are changed.
        step: probability of each of the steps below for such an image.
        turn: largest difference in depth between its sides, as a share.
        cover: largest share of it that is covered from one side.
        gamma: largest power by which light is darkened, or as a root brightened.
        shade: largest share of the light that is lost towards one side.
        blur: largest standard deviation of a blur, as a share of its side.
        motion: the same along one direction.
        pixels: fewest pixels of its side that it is reduced to.
        noise: largest standard deviation of noise, as a share of the range.
        quality: lowest quality of JPEG, from 1 to 70.
    """

    share: float = 0.0
    step: float = 0.35
    turn: float = 0.45
    cover: float = 0.3
    gamma: float = 2.2
    shade: float = 0.7
    blur: float = 0.025
    motion: float = 0.03
    pixels: int = 20
    noise: float = 0.04
    quality: int = 10

    def __post_init__(self) -> None:
        for name in ("share", "step", "cover", "shade"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        check_shares(self, "turn")
        check_at_least(0, self, "blur", "motion", "noise")
        check_at_least(1, self, "gamma", "pixels")
        if not 1 <= self.quality <= 70:
            raise ValueError(f"quality must be from 1 to 70, got {self.quality}")


@dataclass(frozen=True)
class ImageAugmentSettings:
    """Ranges by which training images are varied, drawn anew for each image and epoch.

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
        film: how they are made to look like film before that.
    """

    flip: bool = True
    rotation_degrees: float = 12.0
    scale: float = 1.2
    shift: float = 0.08
    brightness: float = 0.15
    contrast: float = 1.3
    erase: float = 0.25
    mixup: float = 0.0
    film: FilmSettings = field(default=FilmSettings(), metadata=ADDED)

    def __post_init__(self) -> None:
        check_at_least(0, self, "rotation_degrees", "shift", "brightness", "mixup")
        check_at_least(1, self, "scale", "contrast")
        if not 0 <= self.erase <= 1:
            raise ValueError(f"erase must be between 0 and 1, got {self.erase}")


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings that decide a fine-tuning's result.

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
        logit_adjustment: learn the logits as if each class had been met as often to this power:
            1 takes away all of the pull of frequent classes, 0 none (Menon et al., "Long-tail
            Learning via Logit Adjustment", ICLR 2021, equation 10).
        distill: share of each target that is what the teachers say of the image, where there are
            teachers (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015).
        settle_norms: where training starts from weights, first set the norms' statistics to those
            of training images, and their gains and shifts so that they yield what they did.
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
    logit_adjustment: float = field(default=0.0, metadata=ADDED)
    distill: float = field(default=0.5, metadata=ADDED)
    settle_norms: bool = field(default=False, metadata=ADDED)
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
    augment: ImageAugmentSettings = field(default_factory=ImageAugmentSettings)

    def __post_init__(self) -> None:
        check_at_least(1, self, "growth_steps", "epochs", "batch_size")
        check_at_least(0, self, "image_size", "start_size", "weight_decay", "seed")
        check_at_least(0, self, "logit_adjustment")
        check_shares(self, "label_smoothing", "warmup", "ema", "dropout", "momentum")
        if not 0 <= self.distill <= 1:
            raise ValueError(f"distill must be between 0 and 1, got {self.distill}")
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


@dataclass(frozen=True)
class DataSettings:
    """Settings for reading still images and dividing them.

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


@dataclass(frozen=True)
class FinetuneConfig:
    """Settings of a fine-tuning in three parts, as its file has them.

    Attributes:
        training: the top level of the file.
        data: its table ``data``.
        threads: its number ``threads``; None leaves PyTorch's own.
    """

    training: FinetuneSettings
    data: DataSettings
    threads: int | None

    def stored_size(self) -> int:
        """Return the side of the stored images in pixels."""
        spec = NETWORKS.get(self.training.network)
        size = self.training.image_size or (spec.image_size if spec else ROUNDING)
        return self.data.size or -(-size // ROUNDING) * ROUNDING


def load_config(
    preset: str | None = None, file: Path | None = None, overrides: Overrides = ()
) -> FinetuneConfig:
    """Put settings together, the later before the earlier.

    Args:
        preset: see ``trainer.settings.find_toml``; None starts from the defaults.
        file: settings as TOML, such as the ``config.toml`` of a run.
        overrides: see ``parse_overrides``.

    Raises:
        SettingsError: an unknown preset or key (the known ones are named), or a refused value.
        OSError: the file can't be read.
    """
    values: dict[str, Any] = {}
    if preset is not None:
        values = read_toml(find_toml(PRESETS, preset, "preset"))
    if file is not None:
        values = merge(values, read_toml(file))
    values = merge(values, parse_overrides(overrides))
    data, threads = values.pop("data", {}), values.pop("threads", None)
    if not isinstance(data, dict):
        raise SettingsError(f"data must be a table, such as data.size=112, got {data!r}")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise SettingsError(f"threads must be a whole number from 1 on, got {threads!r}")
    return FinetuneConfig(
        settings_from(FinetuneSettings, values),
        settings_from(DataSettings, data, where="data."),
        threads,
    )

"""Settings of heads and their training: frozen dataclasses, the only place that states a default.

The tables ``video``, ``audio``, ``fusion``, ``head`` and ``optim`` stand at the top level, so that
``--set video.set=resnet18`` reads as it is written. ``presets/*.toml`` hold the papers' systems and
one of our own, ``DEFAULT_PRESET``.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from extractors.plugins import BUILT_IN, ENCODERS, POOLINGS, describe_used, read_plugins

PRESETS = Path(__file__).parent / "presets"
# What `train` uses where nobody names one.
DEFAULT_PRESET = "fast"


@dataclass(frozen=True)
class AugmentSettings:
    """Augmentation of training clips; all of it is off by default, as in both papers.

    Lengths are shares of a clip's steps, sizes are in normalised units, where features have
    deviation 1. What is said of bands is for sound that goes through an encoder only.

    Args:
        speed: the sound is stretched by a factor within 1 - speed and 1 + speed.
        time_masks: stretches of steps of the sound that are set to 0, the mean.
        time_mask: the longest of them.
        band_masks: bands of the spectrogram that are set to 0.
        band_mask: the widest of them, in bins.
        band_shift: the most bins that a spectrogram is shifted up or down, like another voice.
        gain: deviation of a number added to all bins of a clip, like another distance.
        audio_noise: deviation of the noise added to every number of the sound.
        video_noise: the same for video.
        drop_modality: probability that a clip with both modalities loses one of them.
        mixup: alpha of mixup's beta distribution; clips are mixed in pairs; 0 for none.
    """

    speed: float = 0.0
    time_masks: int = 0
    time_mask: float = 0.15
    band_masks: int = 0
    band_mask: int = 6
    band_shift: int = 0
    gain: float = 0.0
    audio_noise: float = 0.0
    video_noise: float = 0.0
    drop_modality: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        check_shares(self, "speed", "time_mask", "drop_modality")
        check_at_least(0, self, "time_masks", "band_masks", "band_mask", "band_shift")
        check_at_least(0, self, "gain", "audio_noise", "video_noise", "mixup")


def check_offered(kind: str, group: str, name: str) -> None:
    """Refuse a name that is neither one of avfuse's own nor of an installed plug-in.

    Args:
        kind: the setting.
        group: of plug-ins, see ``extractors.plugins``.
        name: the setting's value.

    Raises:
        ValueError: it is neither.
    """
    if name not in BUILT_IN[group] and name not in read_plugins(group):
        known = ", ".join([*BUILT_IN[group], *read_plugins(group)])
        raise ValueError(f"{kind} must be one of {known}, got {name!r}")


@dataclass(frozen=True)
class ModalitySettings:
    """Settings of one modality, from the cache to one embedding a clip.

    Args:
        set: the feature set's name; ``a+b`` joins two sets step by step.
        features: what to read of it: "basic", "mean", "mean_std", "norm_fft", or an array of the
            set by its own name. "auto" is "basic" of a network's set and the only array of others;
            "statistics" is one step a clip, that array's mean, deviation and percentiles over time.
            Of the set voice both are "functionals", its own vector a clip; "steps" is its contour.
        normalise: "standard" subtracts the training clips' mean per feature and divides by
            their deviation; "per-speaker" does so with mean and deviation of all clips of the
            clip's speaker, also those reported on: transductive, and said so in the report;
            "none" leaves the features as they are.
        attention: how steps are pooled: "mean", "self", "relation", "transformer", "statistics"
            (mean and deviation, not in the papers), or a pooling of a plug-in by its name.
        hidden_dim: of transformer attention: length of the reduced embedding.
        scale: of transformer attention: the papers' lambda, in [0, 1]; 0 is the mean.
        pooled: of transformer attention: what its weights sum, "reduced" or "unreduced".
        embedding_dim: length of a linear layer with ReLU between pooling and fusion; 0 for none.
        embedding_dropout: probability, in training, of dropping a value of that layer.
    """

    set: str = "ir50"
    features: str = "auto"
    normalise: Literal["standard", "per-speaker", "none"] = "standard"
    attention: str = "transformer"
    hidden_dim: int = 128
    scale: float = 1.0
    pooled: Literal["reduced", "unreduced"] = "reduced"
    embedding_dim: int = 0
    embedding_dropout: float = 0.0

    def __post_init__(self) -> None:
        if not all(self.set.split("+")):
            raise ValueError(f"set must be a name or names joined by +, got {self.set!r}")
        if not 0.0 <= self.scale <= 1.0:
            raise ValueError(f"scale (the papers' lambda) must be in [0, 1], got {self.scale}")
        check_offered("attention", POOLINGS, self.attention)
        check_at_least(1, self, "hidden_dim")
        check_at_least(0, self, "embedding_dim")
        check_shares(self, "embedding_dropout")


@dataclass(frozen=True)
class AudioSettings(ModalitySettings):
    """Settings of sound, which may pass through an encoder that is trained with the head.

    Args:
        encoder: "alexnet" turns a spectrogram into a grid of steps; "cnn", a smaller network
            for log-mel, into a sequence; "none" pools the features as they stand in the set. An
            encoder of a plug-in has its own name.
        align: "sentence" puts beside the functionals of the set voice the course of each clip's
            voice along the sentence that it says: for corpora whose speakers read the same few
            sentences, which the manifest's column sentence names. See docs/how-to/sentences.md.
    """

    set: str = "spectrogram"
    encoder: str = "alexnet"
    align: Literal["none", "sentence"] = field(default="none", metadata=ADDED)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_offered("encoder", ENCODERS, self.encoder)
        if self.align == "sentence" and self.encoder != "none":
            raise ValueError(
                f"align=sentence gives one vector a clip, which encoder={self.encoder} can't take; "
                "set audio.encoder=none"
            )


@dataclass(frozen=True)
class FusionSettings:
    """Fusion of an audio and a video embedding into logits.

    Args:
        kind: "fbp" and "concat" fuse embeddings; "late" means the probabilities of a classifier
            per modality; "video" and "audio" use one modality only.
        out_dim: of fbp: length of the fused embedding (the papers' o).
        rank: of fbp: factors per output unit (the papers' k).
        dropout: of fbp: probability, in training, of dropping a product.
        signed_sqrt: of fbp: a signed square root before the L2 normalisation.
        factor_bias: of fbp: biases that start at 1 on both factors.
        classifier_dropout: probability, in training, of dropping a value that the classifier sees.
    """

    kind: Literal["fbp", "concat", "late", "video", "audio"] = "fbp"
    out_dim: int = 128
    rank: int = 4
    dropout: float = 0.3
    signed_sqrt: bool = False
    factor_bias: bool = False
    classifier_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_at_least(1, self, "out_dim", "rank")
        check_shares(self, "dropout", "classifier_dropout")


@dataclass(frozen=True)
class OptimSettings:
    """Optimisation of a head. The papers give none of this; the values are ours.

    Args:
        epochs: passes over the training clips.
        batch_size: clips in a batch.
        learning_rate: the highest learning rate.
        weight_decay: decoupled decay of matrices and kernels; biases do not decay.
        optimiser: "adamw", or "sgd" with momentum 0.9.
        schedule: "cosine" falls to 0 after the warm-up; "constant" stays.
        warmup: share of all batches over which the learning rate rises linearly from 0.
        label_smoothing: share of a label's probability spread over all classes, in [0, 1).
        class_weight: "balanced" weighs a clip by the inverse frequency of its class.
        grad_clip: the largest norm of a batch's gradient; 0 for no limit.
        stack: "auto" trains heads that differ in seed or attention as one: the seeds of a run, and
            the cells of a sweep. Only heads on stored features are (``audio.encoder=none``), with
            an attention of the papers or the mean, without augmentation and late fusion; those
            of the papers' presets are not, because an encoder is trained with each. "off" trains
            each head by itself, on padded batches; "on" refuses heads that can't be stacked. With
            ``selection=inner`` each head is trained by itself, as a stack of one. A seed means
            the same either way: the heads differ by rounding.
        targets: what heads are trained towards: the "label" of each clip, or the shares of the
            "votes" that the manifest has for it. Figures are of the labels either way.
    """

    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    optimiser: Literal["adamw", "sgd"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.1
    label_smoothing: float = 0.1
    class_weight: Literal["none", "balanced"] = "none"
    grad_clip: float = 1.0
    stack: Literal["auto", "on", "off"] = "auto"
    targets: Literal["label", "votes"] = field(default="label", metadata=ADDED)

    def __post_init__(self) -> None:
        check_at_least(1, self, "epochs", "batch_size")
        check_at_least(0, self, "weight_decay", "grad_clip")
        check_shares(self, "warmup", "label_smoothing")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")


@dataclass(frozen=True)
class KindSettings:
    """Kind of a head, and the settings of the kinds that are no networks.

    Args:
        kind: "network" learns step by step. The others are fitted at once to one vector a clip:
            "discriminant" is linear discriminant analysis, "linear" multinomial logistic
            regression, "svm" a support vector machine.
        largest: of all but networks: normalised numbers are cut off at so many deviations; 0 for
            no limit.
        video_weight: of all but networks: what the numbers of video are multiplied by where sound
            stands beside them (``fusion.kind=concat``).
        shrinkage: of a discriminant: share of the covariance that is replaced by its mean variance
            on the diagonal, in [0, 1]; "auto" is the share of Ledoit and Wolf.
        linear_c: of a linear head: inverse strength of its L2 penalty.
        svm_c: of a support vector machine: price of a clip on the wrong side of a margin.
        kernel: of a support vector machine: "rbf" or "linear".
        sharpness: of a support vector machine: logits for one vote of a pair of classes.
    """

    kind: Literal["network", "discriminant", "linear", "svm"] = "network"
    largest: float = 5.0
    video_weight: float = 1.0
    shrinkage: float | Literal["auto"] = 0.5
    linear_c: float = 0.1
    svm_c: float = 10.0
    kernel: Literal["rbf", "linear"] = "rbf"
    sharpness: float = 2.0

    def __post_init__(self) -> None:
        check_at_least(0, self, "largest")
        for name in ("video_weight", "linear_c", "svm_c", "sharpness"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.shrinkage != "auto" and not 0.0 <= self.shrinkage <= 1.0:
            raise ValueError(f"shrinkage must be auto or in [0, 1], got {self.shrinkage}")


# Poolings that learn nothing, for heads that are no networks.
FIXED_POOLINGS = ("mean", "statistics")


@dataclass(frozen=True)
class HeadSettings:
    """Settings that decide a head's form."""

    video: ModalitySettings = field(default_factory=ModalitySettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
    fusion: FusionSettings = field(default_factory=FusionSettings)
    head: KindSettings = field(default=KindSettings(), metadata=ADDED)

    @property
    def is_network(self) -> bool:
        """Whether the head learns step by step, rather than being fitted at once."""
        return self.head.kind == "network"

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the fusion uses."""
        if self.fusion.kind in ("video", "audio"):
            return (self.fusion.kind,)
        return ("video", "audio")

    @property
    def aligns(self) -> bool:
        """Whether voices are laid along the sentences that they say."""
        return "audio" in self.modalities and self.audio.align == "sentence"

    def modality(self, name: str) -> ModalitySettings:
        """Return the settings of "video" or "audio"."""
        return self.audio if name == "audio" else self.video

    def plugins(self) -> list[dict[str, str]]:
        """Describe the plug-ins that a head is made of; see ``extractors.plugins``."""
        used = [(POOLINGS, self.modality(name).attention) for name in self.modalities]
        if "audio" in self.modalities:
            used.append((ENCODERS, self.audio.encoder))
        return describe_used(used)


@dataclass(frozen=True)
class TrainSettings(HeadSettings):
    """Settings that, with the features and the clips, decide a trained head.

    Args:
        video: see ``ModalitySettings``.
        audio: see ``AudioSettings``.
        fusion: see ``FusionSettings``.
        head: see ``KindSettings``. Heads that are no networks need ``attention`` "mean" or
            "statistics", no encoder, and a fusion other than fbp; of ``optim`` they take
            ``class_weight``, and what else only a network has they leave alone.
        optim: see ``OptimSettings``.
        augment: see ``AugmentSettings``.
        prior: class weights that multiply the probabilities; see ``trainer.training.loss``.
            "afew-test" is icmi19's vector, made from the test labels of AFEW: a leak.
        selection: "fixed" trains for ``optim.epochs``; "inner:0.2" holds 20 % of the training
            clips out to choose the number of epochs, then trains on all of them.
        seed: of the initial parameters, the order of clips and dropout.
        calibrate: "temperature" fits, for each fold, a number by which its heads' log-probabilities
            are divided, on training clips that are held out and then trained on like the others:
            probabilities get surer or less sure, and a head's answers stay.
    """

    optim: OptimSettings = field(default_factory=OptimSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    prior: Literal["none", "train", "sqrt-train", "afew-test"] = "none"
    selection: str = "fixed"
    seed: int = 0
    calibrate: Literal["none", "temperature"] = field(default="none", metadata=ADDED)

    def __post_init__(self) -> None:
        check_at_least(0, self, "seed")
        share = inner_share(self.selection)
        if self.is_network:
            return
        wanted = [
            f"{name}.attention=mean (or statistics)"
            for name in self.modalities
            if self.modality(name).attention not in FIXED_POOLINGS
        ]
        if "audio" in self.modalities and self.audio.encoder != "none":
            wanted.append("audio.encoder=none")
        if self.fusion.kind == "fbp":
            wanted.append("fusion.kind=concat (or late, video, audio)")
        if self.optim.targets != "label":
            wanted.append("optim.targets=label")
        if share is not None:
            wanted.append("selection=fixed")
        if self.augment != AugmentSettings():
            wanted.append("no augmentation")
        if wanted:
            raise ValueError(
                f"head.kind={self.head.kind} is fitted at once to one vector a clip; it needs "
                f"{', '.join(wanted)}; --preset svm has all of it"
            )


def inner_share(selection: str) -> float | None:
    """Return the share of training clips that "inner:SHARE" holds out, None for "fixed".

    Raises:
        ValueError: ``selection`` is neither, or the share is not between 0 and 1.
    """
    if selection == "fixed":
        return None
    kind, _, text = selection.partition(":")
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if kind != "inner" or not 0.0 < share < 1.0:
        raise ValueError(
            f"selection must be fixed, or inner:SHARE with a share between 0 and 1 such as "
            f"inner:0.2, got {selection!r}"
        )
    return share


def list_toml(folder: Path) -> list[str]:
    """Name the TOML files of a folder, without their ending."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def find_toml(folder: Path, name: str, kind: str) -> Path:
    """Find a TOML file that comes with avfuse, or one of the user's own.

    Args:
        folder: where those of avfuse are.
        name: the name of one of them, or the path of a TOML file.
        kind: what messages call it, such as ``preset``.

    Raises:
        SettingsError: there is neither; names the known ones.
    """
    known = list_toml(folder)
    if name in known:
        return folder / f"{name}.toml"
    if name.endswith(".toml") and Path(name).is_file():
        return Path(name)
    raise SettingsError(
        f"unknown {kind} {name!r}; known: {', '.join(known)}, or the path of a TOML file"
    )


def load_preset(name: str) -> dict[str, Any]:
    """Read a preset's tables.

    Args:
        name: see ``find_toml``.

    Raises:
        SettingsError: no preset has that name (the known ones are listed), or it is not TOML.
    """
    return read_toml(find_toml(PRESETS, name, "preset"))


def used_set_names(settings: HeadSettings) -> list[str]:
    """Return the names of the sets that a head reads, each once."""
    names = [name for m in settings.modalities for name in settings.modality(m).set.split("+")]
    return list(dict.fromkeys(names))


def load_settings(
    preset: str, overrides: Overrides = (), *, file: Path | None = None
) -> TrainSettings:
    """Put settings together, the later before the earlier.

    Args:
        preset: see ``load_preset``.
        overrides: see ``parse_overrides``; over all others.
        file: settings over the preset's, as TOML.

    Raises:
        SettingsError: an unknown preset or key (the known ones are named), or a refused value.
        OSError: the file can't be read.
    """
    values = merge(load_preset(preset), read_toml(file) if file else {})
    return settings_from(TrainSettings, merge(values, parse_overrides(overrides)))


def settings_from_dict(values: Mapping[str, Any]) -> TrainSettings:
    """Read settings back from ``fields_to_json``, for instance out of a checkpoint.

    Raises:
        SettingsError: an unknown key, or a refused value.
    """
    return settings_from(TrainSettings, values)


def format_toml(values: Mapping[str, Any]) -> str:
    """Write nested dicts as TOML; a ``None`` is left out, because TOML has no null."""
    import tomli_w  # only runs write TOML: heads are trained without it too

    return tomli_w.dumps(_without_none(values))


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }

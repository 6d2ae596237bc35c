"""Head as one module, from what the cache holds to probabilities: what is exported to ONNX."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from extractors import alexnet
from trainer.data.features import PERCENTILES, STATISTICS
from trainer.data.sequences import Steps
from trainer.heads.encoders import AlexNetEncoder, Encoded
from trainer.heads.head import Head
from trainer.runs.folder import RunError
from trainer.training.trained import TrainedHead


class Summary(nn.Module):
    """Describe each clip by statistics over its steps, as ``trainer.data.features.summarise`` does.

    Shapes (B clips, T steps after padding, D numbers a step):
        ``features``: (B, T, D), float; ``mask``: (B, T), bool, True where the step is real.
        result: (B, 1, 7 D), float32, and (B, 1), True for a clip with a step.
    """

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Summarise each clip; shapes are in the class docstring."""
        wide = features.double()
        real = mask.unsqueeze(-1)
        has_step = mask.any(dim=1, keepdim=True)
        count = mask.sum(dim=1, keepdim=True).clamp(min=1).double()  # (B, 1)
        mean = wide.masked_fill(~real, 0.0).sum(dim=1) / count
        spread = (wide - mean.unsqueeze(1)).masked_fill(~real, 0.0).square().sum(dim=1) / count
        ordered = wide.masked_fill(~real, torch.inf).sort(dim=1).values
        parts = [mean, spread.sqrt()]
        for percent in PERCENTILES:
            place = (count - 1) * (percent / 100)  # (B, 1)
            low, high = (
                ordered.gather(1, at.long().unsqueeze(-1).expand(-1, 1, features.shape[2]))
                for at in (place.floor(), place.ceil())
            )
            share = (place - place.floor()).unsqueeze(-1)
            parts.append((low + share * (high - low)).squeeze(1))
        values = torch.cat(parts, dim=1).masked_fill(~has_step, 0.0)
        return values.float().unsqueeze(1), has_step


class WholeAlexNet(nn.Module):
    """Encode whole spectrograms as ``AlexNetEncoder`` does, without cutting long ones into blocks.

    The same numbers by the same parameters, in operations that can be exported.

    Shapes: see ``AlexNetEncoder``; there is always room for one grid step.

    Args:
        encoder: the encoder to stand in for.
    """

    def __init__(self, encoder: AlexNetEncoder) -> None:
        super().__init__()
        self.network = encoder.network
        self.least = alexnet.min_steps()

    def forward(self, features: Tensor, mask: Tensor) -> Encoded:
        """Encode each clip; shapes are in the class docstring."""
        features = features if features.ndim == 4 else features.unsqueeze(-1)
        grid = features.masked_fill(~mask[:, :, None, None], 0.0).permute(0, 3, 1, 2)
        grid = F.pad(grid, (0, 0, 0, self.least))
        own = mask.sum(dim=1)
        lengths = torch.where(own > 0, own.clamp(min=self.least), 0)
        convs = iter(self.network.convs)
        real = _real_steps(grid, lengths)
        for layer in alexnet.LAYERS:
            if layer.kind == "norm":
                scale = alexnet.sum_neighbours(grid * grid) * (
                    alexnet.NORM_ALPHA / alexnet.NORM_SIZE
                )
                grid = grid * (scale + alexnet.NORM_BIAS).pow(-alexnet.NORM_BETA)
                continue
            if layer.kind == "conv":
                grid = F.relu(next(convs)(grid.masked_fill(~real[:, None, :, None], 0.0)))
            else:
                bins = min(layer.kernel, grid.shape[3])
                grid = F.max_pool2d(grid, (layer.kernel, bins), layer.stride)
            lengths = (lengths + 2 * layer.padding - layer.kernel) // layer.stride + 1
            lengths = lengths.clamp(min=0)
            real = _real_steps(grid, lengths)
        bands = grid.shape[3]
        steps = grid.masked_fill(~real[:, None, :, None], 0.0).permute(0, 2, 3, 1).flatten(1, 2)
        return Encoded(steps, real.repeat_interleave(bands, dim=1), (own > 0) & (own < self.least))


def _real_steps(grid: Tensor, lengths: Tensor) -> Tensor:
    """Return the mask (B, T) of a grid (B, C, T, F) whose clips have these lengths."""
    return torch.arange(grid.shape[2]) < lengths.unsqueeze(1)


class RawHead(nn.Module):
    """Classify clips by features as they stand in the cache.

    Normalisation, prior and temperature are inside.

    Shapes (B clips, T and S steps after padding, C classes), for each modality that the head uses:
        ``video``: (B, T, D), ``audio``: (B, S, D), float; see ``step_shapes``.
        ``video_mask``: (B, T), ``audio_mask``: (B, S), bool, True where the step is real. What
        stands on padding never matters, nan included.
        result: (B, C), float32, rows sum to 1.

    Args:
        head: a trained head.

    Raises:
        RunError: see ``check_exportable``.
    """

    def __init__(self, head: TrainedHead) -> None:
        super().__init__()
        check_exportable(head)
        self.head = cast("Head", head.module())
        for branch in self.head.branches.values():
            if isinstance(branch.encoder, AlexNetEncoder):
                branch.encoder = WholeAlexNet(branch.encoder)
        self.modalities = tuple(head.settings.modalities)
        self.summary = Summary()
        self.summarised = {name for name, what in head.features.items() if what == STATISTICS}
        for name, fitted in head.normalisation.items():
            self.register_buffer(f"{name}_mean", torch.from_numpy(fitted.mean))
            self.register_buffer(f"{name}_deviation", torch.from_numpy(fitted.deviation))
        self.register_buffer("prior", torch.from_numpy(head.prior).float())
        if head.settings.calibrate != "none":
            self.register_buffer("sharpness", torch.tensor(1.0 / head.temperature))

    def forward(
        self,
        video: Tensor | None = None,
        video_mask: Tensor | None = None,
        audio: Tensor | None = None,
        audio_mask: Tensor | None = None,
    ) -> Tensor:
        """Classify each clip; shapes are in the class docstring."""
        given = {"video": (video, video_mask), "audio": (audio, audio_mask)}
        steps = {}
        for name in self.modalities:
            features, mask = given[name]
            if features is None or mask is None:
                raise ValueError(f"this head needs {name} and {name}_mask")
            if name in self.summarised:
                features, mask = self.summary(features, mask)
            if hasattr(self, f"{name}_mean"):
                mean, deviation = getattr(self, f"{name}_mean"), getattr(self, f"{name}_deviation")
                features = (features - mean) / deviation
            steps[name] = Steps(features, mask)
        probabilities = self.head(**steps).logits.softmax(dim=1) * self.prior
        if hasattr(self, "sharpness"):
            largest = probabilities.amax(dim=1, keepdim=True)
            probabilities = (probabilities / largest) ** self.sharpness
        result: Tensor = probabilities / probabilities.sum(dim=1, keepdim=True)
        return result


def step_shapes(head: TrainedHead) -> dict[str, tuple[int, ...]]:
    """Return the shape of a step of each modality's input, before any statistics.

    (D,); where D numbers stand in the cache with more axes, they are flattened. (F,) or (F, C) of a
    spectrogram that an encoder reads.
    """
    shapes = {}
    for name in head.settings.modalities:
        first, *rest = head.shapes[name]
        parts = 2 + len(PERCENTILES) if head.features[name] == STATISTICS else 1
        shapes[name] = (first // parts, *rest)
    return shapes


def check_exportable(head: TrainedHead) -> None:
    """Refuse a head whose work before the pooling isn't the same for every clip.

    Raises:
        RunError: it has an audio encoder, lays voices along sentences, is no network, or features
            are normalised per speaker.
    """
    settings = head.settings
    if settings.aligns:
        raise RunError(
            "heads with audio.align=sentence can't be exported: a clip is laid along templates "
            "first; train with audio.align=none to export"
        )
    if not settings.is_network:
        raise RunError(
            f"heads with head.kind={settings.head.kind} can't be exported; their coefficients are "
            "in the run's checkpoints, as safetensors"
        )
    for name in settings.modalities:
        if name == "audio" and settings.audio.encoder not in ("none", "alexnet"):
            raise RunError(
                f"heads with audio.encoder={settings.audio.encoder} can't be exported; those with "
                "alexnet or none can"
            )
        if settings.modality(name).normalise == "per-speaker":
            raise RunError(
                f"{name}.normalise=per-speaker needs all clips of a speaker, which no single clip "
                "brings; train with standard normalisation to export"
            )

"""The audio branch's encoder: a spectrogram becomes a grid of steps that attention can pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from extractors import alexnet, audio_cnn

# Each has min_bins, min_steps, grid_steps and step_times: which spectrograms it takes, and how
# their steps become its own.
REACH = {"cnn": audio_cnn, "alexnet": alexnet}
# On a processor blocks go through AlexNet together while their padding costs less than another
# pass: its weights are ordered and their gradients added up in the time of so many steps.
PASS_STEPS = 64
MOST_STEPS = 3200  # in one pass there, about one block of the longest: more need only more memory
# Numbers of a batch's spectrograms whose maps are kept for the gradient there, 150 bytes of maps
# each: 100 s of 200 bins take 300 MB. The maps of what is beyond are computed a second time.
KEPT = 100 * 100 * 200


class Encoded(NamedTuple):
    """Output of an encoder: steps (B, L, D), their mask (B, L), lengthened clips (B,) bool."""

    features: Tensor
    mask: Tensor
    lengthened: Tensor


class _Piece(NamedTuple):
    """A block of one clip's spectrogram, and how many steps the clip has."""

    clip: int
    length: int
    block: alexnet.Block

    @property
    def steps(self) -> int:
        return self.block.last - self.block.first


class AlexNetEncoder(nn.Module):
    """Encode spectrograms into sequences of grid elements, AlexNet's last pooled map cut up.

    Each element stands for a stretch of time and of frequency. Elements of one time follow each
    other, lowest frequency first: element l is at time l // F' of the grid's F' bands.

    A clip shorter than the encoder's reach (``min_steps()``, about 0.67 s) is lengthened with
    zeros, the mean of normalised features, so that it has one time step; a clip without sound
    has no element at all.

    Long clips are cut into blocks (``alexnet.cut``). On a processor, blocks of similar length are
    encoded together, so that little of the work is padding, and the maps of at most ``KEPT``
    numbers are in memory. A GPU encodes all blocks at once.

    Shapes (B clips, T steps, F bins, C channels):
        ``features``: (B, T, F) for one channel, else (B, T, F, C), float.
        ``mask``: (B, T), bool; the real steps of a clip come first.
        result: ``Encoded``, with L = T' F' elements of length D = ``out_dim``; L is at least 1.

    Args:
        in_channels: C; 1 for a spectrogram, 3 for a log-mel with its two deltas.

    Source:
        Zhang, Wang, Du, "Deep Fusion", 2019 (arXiv:1901.04889), section II.A and eq. 1.
        Differs from it: clips below the encoder's reach are lengthened.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_dim = alexnet.CHANNELS[-1]
        self.network = alexnet.AlexNetFCN(in_channels)

    def forward(self, features: Tensor, mask: Tensor) -> Encoded:
        """Encode each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is neither (B, T, F) nor (B, T, F, ``in_channels``).
        """
        features = _with_channels(features, self.in_channels)
        least = alexnet.min_steps()
        lengths = mask.sum(dim=1)
        pieces = [
            _Piece(clip, length, block)
            for clip, length in enumerate(lengths.tolist())
            if length
            for block in alexnet.cut(max(length, least))
        ]
        on_cpu = features.device.type == "cpu"
        grids: dict[_Piece, Tensor] = {}
        left = KEPT
        for group in _group(pieces) if on_cpu else [pieces]:
            left -= sum(piece.steps for piece in group) * features[0, 0].numel()
            if on_cpu and left < 0 and torch.is_grad_enabled():
                found = checkpoint(
                    self._encode, features, group, use_reentrant=False, preserve_rng_state=False
                )
            else:
                found = self._encode(features, group)
            grids.update(zip(group, found, strict=True))
        parts: list[list[Tensor]] = [[features.new_zeros(0, self.out_dim)] for _ in features]
        for piece in pieces:
            parts[piece.clip].append(grids[piece])
        clips = [torch.cat(own) for own in parts]
        counts = torch.tensor([len(clip) for clip in clips], device=features.device)
        longest = max(1, *map(len, clips))
        encoded = pad_sequence(clips, batch_first=True)
        encoded = nn.functional.pad(encoded, (0, 0, 0, longest - encoded.shape[1]))
        real = torch.arange(longest, device=features.device) < counts.unsqueeze(1)
        return Encoded(encoded, real, (lengths > 0) & (lengths < least))

    def _encode(self, features: Tensor, pieces: Sequence[_Piece]) -> list[Tensor]:
        """Encode blocks in one pass: elements (l, D) of each."""
        if not pieces:
            return []
        real = [
            features[clip, block.first : min(block.last, length)] for clip, length, block in pieces
        ]
        longest = max(piece.steps for piece in pieces)
        on_cpu = features.device.type == "cpu"
        if on_cpu:
            # A whole number of grid steps: oneDNN keeps 15 kernels for each length that it meets.
            longest += -(longest - alexnet.min_steps()) % alexnet.STRIDE
        steps = pad_sequence(real, batch_first=True)
        steps = nn.functional.pad(steps, (0, 0, 0, 0, 0, longest - steps.shape[1]))
        lengths = torch.tensor([piece.steps for piece in pieces])
        layout = torch.channels_last if on_cpu else torch.contiguous_format
        spectrogram = steps.permute(0, 3, 1, 2).clone(memory_format=layout)
        grid, _ = self.network(spectrogram, lengths)
        return [
            own[block.lead : block.lead + block.steps].flatten(0, 1)
            for own, (_, _, block) in zip(grid, pieces, strict=True)
        ]


def _group(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Choose which blocks go through the network together, on a processor; longest first."""
    groups: list[list[_Piece]] = []
    padding = 0
    for piece in sorted(pieces, key=lambda piece: -piece.steps):
        if groups:
            longest = groups[-1][0].steps
            padding += longest - piece.steps
            if padding <= PASS_STEPS and (len(groups[-1]) + 1) * longest <= MOST_STEPS:
                groups[-1].append(piece)
                continue
        groups.append([piece])
        padding = 0
    return groups


class CnnEncoder(nn.Module):
    """Encode log-mel spectrograms into sequences of vectors, by a small network.

    Shorter and silent clips are treated as ``AlexNetEncoder`` treats them; the reach is 0.32 s.

    Shapes (B clips, T steps, F bins, C channels):
        ``features``: (B, T, F) for one channel, else (B, T, F, C), float.
        ``mask``: (B, T), bool; the real steps of a clip come first.
        result: ``Encoded``, with steps of length D = ``out_dim``.

    Args:
        in_channels: C; 1 for a spectrogram, 3 for a log-mel with its two deltas.
        num_bins: F.
    """

    def __init__(self, in_channels: int, num_bins: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_dim = audio_cnn.OUT_DIM
        self.network = audio_cnn.AudioCNN(in_channels, num_bins)

    def forward(self, features: Tensor, mask: Tensor) -> Encoded:
        """Encode each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is neither (B, T, F) nor (B, T, F, ``in_channels``).
        """
        features = _with_channels(features, self.in_channels)
        least = audio_cnn.min_steps()
        lengths = mask.sum(dim=1)
        lengthened = (lengths > 0) & (lengths < least)
        features = features.masked_fill(~mask[:, :, None, None], 0.0).permute(0, 3, 1, 2)
        features = nn.functional.pad(features, (0, 0, 0, max(0, least - features.shape[2])))
        steps, lengths = self.network(features, lengths.masked_fill(lengthened, least))
        real = torch.arange(steps.shape[1], device=steps.device) < lengths.unsqueeze(1)
        return Encoded(steps, real, lengthened)


def takes(kind: str, shape: tuple[int, ...]) -> bool:
    """Whether an encoder of ours takes steps of a shape: (F,) or (F, C) with bins enough."""
    return len(shape) in (1, 2) and shape[0] >= int(REACH[kind].min_bins())


def make_encoder(kind: str, shape: tuple[int, ...]) -> AlexNetEncoder | CnnEncoder:
    """Build the encoder that a setting names.

    Args:
        kind: "alexnet" or "cnn".
        shape: of one step: (F,) or (F, C).

    Raises:
        ValueError: ``kind`` is unknown; the known ones are named.
    """
    in_channels = shape[1] if len(shape) == 2 else 1
    if kind == "alexnet":
        return AlexNetEncoder(in_channels)
    if kind == "cnn":
        return CnnEncoder(in_channels, shape[0])
    raise ValueError(f"unknown encoder {kind!r}; known: {', '.join(REACH)}")


def _with_channels(features: Tensor, in_channels: int) -> Tensor:
    """Return features as (B, T, F, C), and refuse others."""
    if features.ndim == 3:
        features = features.unsqueeze(-1)
    if features.ndim != 4 or features.shape[-1] != in_channels:
        raise ValueError(
            f"features must have shape (B, T, F) or (B, T, F, {in_channels}), "
            f"got {tuple(features.shape)}"
        )
    return features


def grid_times(
    times: NDArray[np.float64], num_bands: int, encoder: str = "alexnet"
) -> NDArray[np.float64]:
    """Say when each element of an encoded clip is, so that its attention weight can be shown there.

    Args:
        times: seconds of the spectrogram's steps.
        num_bands: elements of one time: AlexNet's F'; 1 for the small network.
        encoder: which one.

    Returns:
        (L,) seconds: the centre of each element's receptive field, inside the clip. Empty for a
        clip without sound.
    """
    if not len(times):
        return np.zeros(0)
    reach = REACH[encoder]
    num_steps = reach.grid_steps(max(len(times), reach.min_steps()))
    seconds = np.interp(reach.step_times(num_steps).numpy(), np.arange(len(times)), times)
    return np.repeat(seconds, num_bands)

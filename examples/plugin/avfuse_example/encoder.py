"""An audio encoder that is trained with the head: patches of a spectrogram, each by itself."""

from __future__ import annotations

from torch import Tensor, nn

PATCH = 10  # steps: 0.1 s of a spectrogram with a step every 10 ms


class PatchEncoder(nn.Module):
    """Cut a spectrogram into patches of ten steps and embed each by a small perceptron.

    A patch sees nothing of the next, so that a clip's last patch yields the same whatever padding
    follows it. Layers that look further, as a convolution of width 3 does, would carry their biases
    from the padding into the clip: clear the padding after each of them.

    Shapes (B clips, T steps, F bins, C channels):
        ``features``: (B, T, F, C), float, with deviation 1; padding is 0, which is the mean.
        result: (B, ceil(T / 10), 32).

    Args:
        num_bins: F.
        in_channels: C; 1 for a spectrogram, 3 for a log-mel with its two deltas.
    """

    out_dim = 32

    def __init__(self, num_bins: int, in_channels: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(PATCH * num_bins * in_channels, 64), nn.ReLU(), nn.Linear(64, self.out_dim)
        )

    def num_steps(self, length: int) -> int:
        """Return the patches of a clip with ``length`` steps; the last may be a part of one."""
        return -(-length // PATCH)

    def forward(self, features: Tensor) -> Tensor:
        """Encode each clip; shapes are in the class docstring."""
        lacking = -features.shape[1] % PATCH
        whole = nn.functional.pad(features, (0, 0, 0, 0, 0, lacking))
        patches = whole.reshape(len(whole), whole.shape[1] // PATCH, -1)
        result: Tensor = self.embed(patches)
        return result

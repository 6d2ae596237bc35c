"""Fusion between modalities: an audio and a video embedding become one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Below this norm an embedding counts as zero: dividing by it would only blow rounding up.
NORM_EPS = 1e-12
# sqrt(|z|) has an infinite slope at 0; with this the largest slope is 1e4.
ROOT_EPS = 1e-8


class FactorizedBilinearPooling(nn.Module):
    """Fuse an audio and a video embedding through all their pairwise products.

    Output unit o is the bilinear form ``audio^T W_o video`` with W_o of rank at most ``rank``:
    project both embeddings to ``out_dim * rank`` values, multiply them elementwise, drop some
    products, and add up each group of ``rank``. L2 normalisation follows.

    Shapes (B clips):
        ``audio``: (B, ``audio_dim``), float.
        ``video``: (B, ``video_dim``), float.
        result: (B, ``out_dim``), with L2 norm 1, or 0 where every product is 0. A zero audio or
        video embedding (a clip without that modality) therefore fuses to 0, unless
        ``factor_bias`` is set, with which the other modality still passes.

    Args:
        audio_dim: length of an audio embedding.
        video_dim: length of a video embedding.
        out_dim: length of the fused embedding (the papers' o).
        rank: number of factors per output unit (the papers' k).
        dropout: probability, in training, of dropping one product before the sum.
        signed_sqrt: take ``z / sqrt(|z| + eps)`` of each sum before the L2 normalisation.
        factor_bias: give both projections a bias that starts at 1, so that the products begin
            as nearly linear in each modality. The papers have no biases.

    Raises:
        ValueError: a dimension or ``rank`` is below 1.

    Source:
        Zhang, Wang, Du, "Deep Fusion: An Attention Guided Factorized Bilinear Pooling for
        Audio-video Emotion Recognition", 2019 (arXiv:1901.04889), eq. 12. The signed square
        root is that of multi-modal factorized bilinear pooling (Yu et al., ICCV 2017).
    """

    def __init__(
        self,
        audio_dim: int,
        video_dim: int,
        out_dim: int = 128,
        rank: int = 4,
        dropout: float = 0.3,
        *,
        signed_sqrt: bool = False,
        factor_bias: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"audio_dim": audio_dim, "video_dim": video_dim, "out_dim": out_dim, "rank": rank}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.out_dim = out_dim
        self.rank = rank
        self.signed_sqrt = signed_sqrt
        self.audio_factors = nn.Linear(audio_dim, out_dim * rank, bias=factor_bias)
        self.video_factors = nn.Linear(video_dim, out_dim * rank, bias=factor_bias)
        self.dropout = nn.Dropout(dropout)
        if factor_bias:
            nn.init.ones_(self.audio_factors.bias)
            nn.init.ones_(self.video_factors.bias)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Fuse each pair; shapes and guarantees are in the class docstring."""
        products: Tensor = self.dropout(self.audio_factors(audio) * self.video_factors(video))
        pooled: Tensor = products.reshape(-1, self.out_dim, self.rank).sum(-1)  # (B, out_dim)
        if self.signed_sqrt:
            pooled = pooled / (pooled.abs() + ROOT_EPS).sqrt()
        norm = torch.linalg.vector_norm(pooled, dim=-1, keepdim=True)
        # Not F.normalize: at 0 its gradient is 1 / eps, here it is 1.
        return pooled / torch.where(norm > NORM_EPS, norm, 1.0)


class Concatenation(nn.Module):
    """Fuse an audio and a video embedding by writing one behind the other.

    Shapes (B clips):
        ``audio``: (B, ``audio_dim``), float.
        ``video``: (B, ``video_dim``), float.
        result: (B, ``audio_dim + video_dim``), the audio values first.

    Args:
        audio_dim: length of an audio embedding.
        video_dim: length of a video embedding.

    Source:
        The comparison of both papers (deep-fusion Table II, icmi19 section 3).
    """

    def __init__(self, audio_dim: int, video_dim: int) -> None:
        super().__init__()
        self.out_dim = audio_dim + video_dim

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Fuse each pair."""
        return torch.cat([audio, video], dim=-1)

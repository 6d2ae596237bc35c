"""View statistics: what the embeddings of one crop's views say together."""

from __future__ import annotations

from torch import Tensor


def view_statistics(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of an embedding over a crop's views.

    Both are taken of the differences from the first view. Those are small, so that neither loses
    digits, and exactly zero where all views are the same: then the mean is that embedding and the
    deviation 0, bit for bit.

    Shapes (N crops, V views, D = length of an embedding):
        ``embeddings``: (N, V, D), float, V at least 1.
        result: mean and population deviation, each (N, D); the deviation is not negative.

    Args:
        embeddings: one per view, of one network.

    Raises:
        ValueError: ``embeddings`` is not (N, V, D) or has no view.

    Source:
        Zhou et al., ICMI 2019, "Feature Enhancement": F-Mean and F-MeanStd. The deviation over the
        views themselves, dividing by V, since they are all there are.
    """
    if embeddings.ndim != 3 or embeddings.shape[1] < 1:
        raise ValueError(
            f"embeddings must have shape (N, V, D) with a view, got {tuple(embeddings.shape)}"
        )
    first = embeddings[:, :1]
    shifts = embeddings - first
    mean_shift = shifts.mean(dim=1, keepdim=True)
    deviation = (shifts - mean_shift).square().mean(dim=1).sqrt()
    return (first + mean_shift).squeeze(1), deviation

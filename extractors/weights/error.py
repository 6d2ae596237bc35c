"""Error of weight files, apart from their reading: it loads no PyTorch."""

from __future__ import annotations


class WeightsError(ValueError):
    """Error of a weight file that can't be read safely or does not fit the network."""

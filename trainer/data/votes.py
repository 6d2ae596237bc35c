"""Votes of the raters as what heads are trained towards: each clip's share of them per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cache.manifest.votes import Votes


class VotesError(ValueError):
    """Votes that can't be trained on; names the clip."""


def share_votes(
    clip_ids: Sequence[str], votes: Mapping[str, Votes], classes: Sequence[str]
) -> NDArray[np.float32]:
    """Turn counts of votes into shares.

    Args:
        clip_ids: the N clips.
        votes: clip id to its votes; other clips have none.
        classes: the C classes in order.

    Returns:
        (N, C) shares; each row sums to 1, or is 0 where a clip has no votes.

    Raises:
        VotesError: votes for what is no class.
    """
    shares = np.zeros((len(clip_ids), len(classes)))
    for row, clip in zip(shares, clip_ids, strict=True):
        for name, count in votes.get(clip, ()):
            if name in classes:
                row[classes.index(name)] = count
            elif count:
                raise VotesError(
                    f"clip {clip} has votes for {name!r}, which is the label of no clip; classes: "
                    f"{', '.join(classes)}. Rename it in the column votes, or train on the labels "
                    "with optim.targets=label"
                )
    total = shares.sum(axis=1, keepdims=True)
    return (shares / np.where(total > 0, total, 1.0)).astype(np.float32)


def check_votes(shares: NDArray[np.float32] | None, clip_ids: Sequence[str]) -> None:
    """Refuse to train on votes where a training clip has none.

    Args:
        shares: (N, C) shares of the training clips; None if nobody gave votes.
        clip_ids: the N training clips.

    Raises:
        VotesError: a clip has no votes.
    """
    lacking = [
        clip for number, clip in enumerate(clip_ids) if shares is None or not shares[number].any()
    ]
    if lacking:
        raise VotesError(
            f"optim.targets=votes, and {len(lacking)} of {len(clip_ids)} training clips have no "
            f"votes in the manifest, {lacking[0]} first; fill in its column votes, leave such "
            "clips out, or use optim.targets=label"
        )

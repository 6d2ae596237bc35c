"""Names of what a run of stage one can be asked for: sets, shards, engines, consumers.

Nothing here loads PyTorch, dlib or OpenCV: a command refuses a wrong name at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Literal

from cache.manifest.clip import Clip
from extractors.networks import NETWORKS
from pipeline.extract.weights import ALEXNET, PlanError

AUDIO_SETS = ("spectrogram", "logmel", "voice")
# What `extract` makes where nobody names a set: what the default preset of `train` reads.
DEFAULT_SETS = "resnet29,logmel"
DEFAULT_VIEWS = "basic"
ConsumerChoice = Literal["auto", "shared", "own"]
EngineName = Literal["local", "dask", "ray"]
TrustChoice = Literal["stat", "content"]


def set_names() -> tuple[str, ...]:
    """Name every set that can be made, in the order in which a clip goes through them."""
    return ("faces", "identity", *NETWORKS, *AUDIO_SETS, ALEXNET)


def check_sets(names: Sequence[str]) -> None:
    """Check that every name is of a set that can be made.

    Raises:
        PlanError: one isn't, or there is none.
    """
    known = set_names()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise PlanError(f"no set {name!r}{hint}; there are {', '.join(known)}")
    if not names:
        raise PlanError(f"no set asked for; there are {', '.join(known)}")


def shard(clips: Sequence[Clip], text: str | None) -> tuple[Clip, ...]:
    """Take every N-th clip from the I-th on, for ``I/N`` with I from 1 to N.

    Raises:
        PlanError: the text is not of that form.
    """
    if text is None:
        return tuple(clips)
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise PlanError(f"--shard {text}: expected I/N with I from 1 to N, such as 3/8")
    return tuple(clips[int(part) - 1 :: int(parts)])

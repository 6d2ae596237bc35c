"""Operation whose crashes are tried: what is there before, what it does, what can be seen of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What a user would find in the watched folder, by name; what isn't there is left out.
Seen = Mapping[str, Any]
Mark = Callable[[], None]


@dataclass(frozen=True)
class Operation:
    """One operation on a watched folder.

    Args:
        name: of it.
        act: does it: the watched folder, another one for what is not watched, and ``mark``, which
            it calls wherever what was done has been promised to be durable.
        look: reads the watched folder as the product does; raises if something is half there.
        prepare: makes what is there before, durable.
        surround: makes what is needed elsewhere.
        tidy: looks after what a cut has left, as a user would, and raises if that goes wrong.
        again: the command that a user repeats; ``act`` if None.
        refusals: errors with a sentence that an I/O error may end in, besides OSError.
        every: an end is tried for each so many-th state, a fault at each so many-th call; 0 for
            no end, and every fault.
    """

    name: str
    act: Callable[[Path, Path, Mark], None]
    look: Callable[[Path], Seen]
    prepare: Callable[[Path, Path], None] = lambda _root, _outside: None
    surround: Callable[[Path], None] = lambda _outside: None
    tidy: Callable[[Path], None] = lambda _root: None
    again: Callable[[Path, Path, Mark], None] | None = None
    refusals: tuple[type[Exception], ...] = ()
    every: int = 1

"""The bar of commands whose result says it all: on a terminal, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def show_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress while the context lasts.

    Args:
        unit: what is counted.

    Yields:
        A function to call with the number done and the number of all.
    """
    with tqdm(unit=unit, disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show

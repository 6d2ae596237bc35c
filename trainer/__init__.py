"""Stage two: entries of the cache to heads, predictions and reports.

For Python, ``Dataset`` and ``collate`` feed loops of one's own; ``train``, ``sweep``, ``evaluate``,
``compare``, ``ensemble``, ``explain_run`` and ``export_heads`` are what commands do; ``read_run``
reads a run.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.data.dataset import Batch, Dataset, Example, collate
    from trainer.doors import (
        SweptTable,
        compare,
        ensemble,
        evaluate,
        explain_run,
        export_heads,
        sweep,
        train,
    )
    from trainer.runs.folder import Run, read_run

__all__ = [
    "Batch",
    "Dataset",
    "Example",
    "Run",
    "SweptTable",
    "collate",
    "compare",
    "ensemble",
    "evaluate",
    "explain_run",
    "export_heads",
    "read_run",
    "sweep",
    "train",
]
_HOMES = {
    **dict.fromkeys(("Batch", "Dataset", "Example", "collate"), "trainer.data.dataset"),
    **dict.fromkeys(("Run", "read_run"), "trainer.runs.folder"),
}

if not TYPE_CHECKING:  # to whom an unknown name is an error

    def __getattr__(name: str) -> object:
        """Import a name of ``__all__`` when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES.get(name, "trainer.doors")), name)


def __dir__() -> list[str]:
    return sorted(__all__)

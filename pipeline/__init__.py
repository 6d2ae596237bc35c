"""Stage one: videos to entries of the cache.

For Python, each call is what a command does: index, diagnose and extract a corpus, draw its faces,
find its persons, import and export features, fine-tune, predict, explain and report.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.doors import (
        diagnose_corpus,
        draw_clip,
        draw_faces,
        explain_clips,
        export_features,
        extract_features,
        find_persons,
        finetune,
        import_features,
        index_corpus,
        predict_videos,
        write_report,
    )

__all__ = [
    "diagnose_corpus",
    "draw_clip",
    "draw_faces",
    "explain_clips",
    "export_features",
    "extract_features",
    "find_persons",
    "finetune",
    "import_features",
    "index_corpus",
    "predict_videos",
    "write_report",
]

if not TYPE_CHECKING:  # to whom an unknown name is an error

    def __getattr__(name: str) -> object:
        """Import a name of ``__all__`` when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module("pipeline.doors"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

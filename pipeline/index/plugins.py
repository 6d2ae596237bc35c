"""Recipes of plug-ins: functions that index a corpus as those beside this module do."""

from __future__ import annotations

from pathlib import Path

from extractors.plugins import CORPORA, PluginError, find_plugin, shown_error
from pipeline.index.files import Found, IndexingError


def index_by_plugin(name: str, root: Path, *, follow_links: bool = False) -> Found:
    """Index a corpus with the recipe of a plug-in.

    Args:
        name: of the plug-in.
        root: the corpus's folder.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: as the recipe says.
        PluginError: the plug-in isn't installed or can't be imported, its recipe raises something
            else, or doesn't return ``Found``.
        OSError: something can't be read.
    """
    plugin = find_plugin(CORPORA, name)
    recipe = plugin.load()
    try:
        found = recipe(root, follow_links=follow_links)
    except (IndexingError, OSError, MemoryError):
        raise
    except Exception as error:
        raise PluginError(f"the {plugin} fails on {root}: {shown_error(error)}") from error
    if not isinstance(found, Found):
        raise PluginError(
            f"the {plugin} must return a pipeline.index.files.Found, got {type(found).__name__}"
        )
    return found

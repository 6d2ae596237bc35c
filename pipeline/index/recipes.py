"""Recipes by the name of their corpus, as ``avfuse index`` has them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from extractors.plugins import CORPORA, read_plugins
from pipeline.index.afew import index_afew
from pipeline.index.ch_sims import index_ch_sims
from pipeline.index.crema_d import index_crema_d
from pipeline.index.csv_table import index_csv
from pipeline.index.dfew import index_dfew
from pipeline.index.emo_db import index_emo_db
from pipeline.index.enterface import index_enterface
from pipeline.index.files import Found, IndexingError
from pipeline.index.folder import index_folder
from pipeline.index.iemocap import index_iemocap
from pipeline.index.mafw import index_mafw
from pipeline.index.mead import index_mead
from pipeline.index.meld import index_meld
from pipeline.index.mer2023 import index_mer2023
from pipeline.index.plugins import index_by_plugin
from pipeline.index.ravdess import index_ravdess
from pipeline.index.savee import index_savee

RECIPES: Mapping[str, Callable[..., Found]] = {
    "folder": index_folder,
    "csv": index_csv,
    "ravdess": index_ravdess,
    "crema-d": index_crema_d,
    "enterface": index_enterface,
    "savee": index_savee,
    "mead": index_mead,
    "iemocap": index_iemocap,
    "ch-sims": index_ch_sims,
    "mafw": index_mafw,
    "emo-db": index_emo_db,
    "afew": index_afew,
    "dfew": index_dfew,
    "mer2023": index_mer2023,
    "meld": index_meld,
}


def choose_recipe(name: str, root: Path, options: Mapping[str, Any]) -> Callable[..., Found]:
    """Return a recipe, ours or a plug-in's, with folder and options filled in; links are left open.

    Raises:
        IndexingError: there is no recipe of that name, or it has no such option; the nearest is
            named.
    """
    recipes: dict[str, Callable[..., Found]] = {
        **{plugin: partial(index_by_plugin, plugin) for plugin in read_plugins(CORPORA)},
        **RECIPES,
    }
    if name not in recipes:
        raise IndexingError(f"no recipe {name!r}{_near(name, [*recipes])}")
    recipe = recipes[name]
    known = [
        option
        for option, parameter in inspect.signature(recipe).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and option != "follow_links"
    ]
    for option in options:
        if option not in known:
            raise IndexingError(f"{name} has no option {option!r}{_near(option, known)}")
    return partial(recipe, root, **options)


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(known) or "none"
    return (f"; did you mean {near[0]!r}? There" if near else "; there") + f" are {listed}"

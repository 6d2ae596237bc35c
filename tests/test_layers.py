"""The house: which folder may import which, no circle, and no package with too many doors."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cache", "extractors", "pipeline", "trainer")
MOST_ENTRIES = 16  # on the first level of a package
NO_DOORS = {"__init__.py", "__pycache__", "py.typed"}  # every package has them

# A room: a folder, or a module on a package's first level. What stands beside it is all that it may
# import of ours besides itself. "cache", "extractors" and "trainer" stand for every room of theirs.
CACHE_TOOLS = {
    f"cache/{name}"
    for name in (
        "cells",
        "codec",
        "commit",
        "digest",
        "settings",
        "signals",
        "progress",
        "version",
        "wording",
    )
}
NETWORKS = {"extractors", "extractors/plugins", "extractors/weights", "extractors/running"}
STAGE_ONE = {"pipeline/choice", "pipeline/faces", "pipeline/media", "pipeline/workers"}
MAY_IMPORT: dict[str, set[str]] = {
    "cache/cells": {"cache/codec"},
    "cache/digest": {"cache/commit"},
    "cache/codec": {"cache/commit"},
    "cache/signals": set(),
    "cache/progress": {"cache/wording"},
    "cache/version": set(),
    "cache/wording": set(),
    "cache/commit": {"cache/signals"},
    "cache/settings": {"cache/codec"},
    "cache/manifest": CACHE_TOOLS,
    "cache/entries": {*CACHE_TOOLS, "cache/manifest"},
    "cache/sets": {*CACHE_TOOLS, "cache/manifest", "cache/entries"},
    "cache/persons": {*CACHE_TOOLS, "cache/manifest", "cache/entries", "cache/sets"},
    "cache/packs": {*CACHE_TOOLS, "cache/manifest", "cache/entries", "cache/sets"},
    "cache/upkeep": {*CACHE_TOOLS, "cache/manifest", "cache/entries", "cache/sets", "cache/packs"},
    "cache/doors": {"cache"},
    "extractors/plugins": set(),
    "extractors": {"extractors/plugins"},
    "extractors/weights": {"extractors"},
    "extractors/running": {"extractors", "extractors/plugins", "extractors/weights"},
    "pipeline/cli": {"pipeline/commands"},
    "pipeline/__main__": {"pipeline/cli"},
    "pipeline/media": {"cache"},
    "pipeline/workers": {"cache", *NETWORKS},
    "pipeline/faces": {"cache", *NETWORKS, "pipeline/media"},
    "pipeline/choice": {"cache", "pipeline/faces", "pipeline/media"},
    "pipeline/extract": {"cache", *NETWORKS, *STAGE_ONE},
    "pipeline/index": {"cache", "extractors/plugins", "extractors/weights"},
    "pipeline/doctor": {
        "cache", "extractors", "extractors/plugins", *STAGE_ONE, "pipeline/index",
    },
    "pipeline/exchange": {"cache", "pipeline/index", "pipeline/extract"},
    "pipeline/inspect": {"cache", "pipeline/extract", *STAGE_ONE},
    "pipeline/persons": {"cache", "pipeline/extract", "pipeline/inspect", *STAGE_ONE},
    "pipeline/predict": {
        "cache", *NETWORKS, "pipeline/extract", "pipeline/index", "pipeline/inspect", *STAGE_ONE,
    },
    "pipeline/align_stills": {"pipeline/choice", "pipeline/faces", "pipeline/media"},
    "pipeline/doors": {"cache", *NETWORKS, "pipeline"},
    "pipeline/commands": {"cache", *NETWORKS, "pipeline"},
    "trainer/settings": {"cache", "extractors/plugins"},
    "trainer/attention": set(),
    "trainer/fusion": set(),
    "trainer/data": {"cache", "extractors", "trainer/settings"},
    "trainer/heads": {
        "extractors", "extractors/plugins", "trainer/attention", "trainer/fusion", "trainer/data",
        "trainer/settings",
    },
    "trainer/training": {
        "cache", "extractors/plugins", "extractors/running", "trainer/heads", "trainer/data",
        "trainer/settings",
    },
    "trainer/runs": {
        "cache", "extractors/running", "trainer/training", "trainer/heads", "trainer/data",
        "trainer/settings",
    },
    "trainer/explain": {
        "cache", "trainer/runs", "trainer/training", "trainer/data", "trainer/settings",
    },
    "trainer/export": {
        "cache", "extractors", "trainer/runs", "trainer/training", "trainer/heads", "trainer/data",
    },
    "trainer/report": {
        "cache", "trainer/explain", "trainer/runs", "trainer/training", "trainer/data",
        "trainer/settings",
    },
    "trainer/sweeps": {
        "cache", "trainer/data", "trainer/runs", "trainer/training", "trainer/settings",
    },
    "trainer/stills/settings": {"cache", *NETWORKS, "trainer/settings"},
    "trainer/stills/images": {"cache", "extractors/weights", "trainer/stills/settings"},
    "trainer/stills": {
        "cache", *NETWORKS, "trainer/stills/settings", "trainer/stills/images", "trainer/runs",
        "trainer/training", "trainer/data", "trainer/settings",
    },
    "trainer/doors": {"cache", "extractors/running", "trainer"},
    "trainer/commands": {"cache", "extractors/running", "trainer"},
}  # fmt: skip
# The only modules of stage one that use stage two: they answer for one video or picture, show the
# whole job, and align still faces before a face network learns them.
COMPOSE = {
    "pipeline/doors.py",
    "pipeline/predict/picture.py",
    "pipeline/predict/by_run.py",
    "pipeline/predict/explain.py",
    "pipeline/commands/explain.py",
    "pipeline/commands/predict.py",
    "pipeline/commands/finetune.py",
    "pipeline/commands/report.py",
    "pipeline/commands/demo.py",
    "pipeline/align_stills.py",
}
STAGE_ONE_LIBRARIES = {"av", "cv2", "dlib", "face_recognition_models"}
THIRD_PARTY = {
    "cache": {"numpy", "h5py", "pandas", "tqdm"},
    "extractors": {"torch", "numpy", "python_speech_features", "safetensors", "scipy"},
}

PATHS = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PATHS
}


def imported(path: Path) -> set[str]:
    """Full names of all that a module imports, wherever in it, ``TYPE_CHECKING`` included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            for alias in node.names:
                full = f"{module}.{alias.name}"
                names.add(full if full in MODULES else module)
    return names


def room_of(module: str) -> str:
    """The room that a module of ours stands in."""
    path = module.replace(".", "/")
    parents = [path, *(str(parent) for parent in Path(path).parents)]
    return next(room for room in parents if room in MAY_IMPORT)


def is_allowed(room: str, allowed: set[str]) -> bool:
    return room in allowed or (room != "extractors" and room.split("/")[0] in allowed - NETWORKS)


IMPORTS = {name: imported(path) for name, path in MODULES.items()}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle of a graph, in its order; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_room_may(module: str) -> None:
    package = module.split(".")[0]
    names = IMPORTS[module]
    ours = {name for name in names if name.split(".")[0] in PACKAGES}
    if "." in module:
        room = room_of(module)
        composes = str(MODULES[module].relative_to(ROOT)) in COMPOSE
        allowed = MAY_IMPORT[room] | {room} | ({"trainer"} if composes else set())
        rooms = {room_of(name) for name in ours}
        assert {other for other in rooms if not is_allowed(other, allowed)} == set()
    others = {name.split(".")[0] for name in names} - set(PACKAGES) - set(sys.stdlib_module_names)
    if package in THIRD_PARTY:
        assert others <= THIRD_PARTY[package]
    if package == "trainer":
        assert not others & STAGE_ONE_LIBRARIES


def test_no_module_imports_itself_through_others() -> None:
    assert circle({name: IMPORTS[name] & MODULES.keys() - {name} for name in MODULES}) == []


def test_no_room_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {}
    for name, names in IMPORTS.items():
        if "." in name:
            ours = {room_of(n) for n in names if n.split(".")[0] in PACKAGES and n in MODULES}
            graph.setdefault(room_of(name), set()).update(ours - {room_of(name)})
    assert circle(graph) == []


def test_a_circle_is_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


def test_every_room_of_the_table_exists() -> None:
    for room in MAY_IMPORT:
        assert (ROOT / room).is_dir() or (ROOT / f"{room}.py").is_file(), room


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_few_doors(package: str) -> None:
    entries = [path for path in (ROOT / package).iterdir() if path.name not in NO_DOORS]
    assert len(entries) <= MOST_ENTRIES, sorted(path.name for path in entries)


@pytest.mark.slow
def test_every_module_of_stage_two_imports_without_the_libraries_of_stage_one() -> None:
    modules = [name for name in MODULES if name.split(".")[0] in ("trainer", "cache", "extractors")]
    code = (
        "import importlib, sys\n"
        f"for name in {sorted(STAGE_ONE_LIBRARIES)!r}: sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)

"""The import table of the design, walked over every module of the project."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("cache", "extractors", "pipeline", "trainer")
MAY_IMPORT = {
    "cache": {"cache"},
    "extractors": {"extractors"},
    "pipeline": {"pipeline", "extractors", "cache"},
    "trainer": {"trainer", "extractors", "cache"},
}
# The only modules that compose both stages: they answer for one video, show the whole job, and
# align still faces before a face network learns them.
COMPOSE = {
    "pipeline/commands/predict.py",
    "pipeline/commands/demo.py",
    "pipeline/commands/finetune.py",
}
STAGE_ONE_LIBRARIES = {"av", "cv2", "dlib", "face_recognition_models"}
THIRD_PARTY = {
    "cache": {"numpy", "h5py", "tqdm"},
    "extractors": {"torch", "numpy", "python_speech_features", "safetensors", "scipy"},
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


MODULES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    relative = str(path.relative_to(ROOT))
    package = relative.split("/")[0]
    names = imported(path)
    allowed = set(OURS) if relative in COMPOSE else MAY_IMPORT[package]
    assert names & set(OURS) <= allowed
    if package in THIRD_PARTY:
        others = names - set(OURS) - set(sys.stdlib_module_names)
        assert others <= THIRD_PARTY[package]
    if package == "trainer":
        assert not names & STAGE_ONE_LIBRARIES


def test_every_module_of_stage_two_imports_without_the_libraries_of_stage_one() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if path.relative_to(ROOT).parts[0] in ("trainer", "cache", "extractors")
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {sorted(STAGE_ONE_LIBRARIES)!r}: sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)

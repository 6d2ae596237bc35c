"""A wheel built from this tree: every module and data file of ours is in it, and works from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("cache", "extractors", "pipeline", "trainer")


def list_files(folder: Path) -> set[Path]:
    paths = (path for package in OURS for path in (folder / package).rglob("*"))
    return {
        path.relative_to(folder)
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that holds what a wheel of this tree installs, its command under bin/."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in OURS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # No isolation: setuptools of this environment builds it, and nothing is downloaded.
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", folder / "installed", source], check=True
    )
    yield folder / "installed"
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_wheel_holds_every_module_page_preset_and_weight_file(installed: Path) -> None:
    made = {path for path in list_files(installed) if path.suffix != ".pyc"}
    assert made == list_files(ROOT)
    assert {path.parts[0] for path in made if path.name == "py.typed"} == set(OURS)
    assert {path.suffix for path in made} >= {".html", ".toml", ".safetensors", ".md", ".py"}


# Run with the wheel's folder first on the path, and a working directory without our packages.
READ_PRESETS = """
from trainer import settings
from trainer.stills import settings as stills_settings
for folder in (settings.PRESETS, stills_settings.PRESETS):
    print(folder)
for name in settings.list_toml(settings.PRESETS):
    settings.load_preset(name)
for name in settings.list_toml(stills_settings.PRESETS):
    stills_settings.load_config(name)
print(*settings.list_toml(settings.PRESETS), *settings.list_toml(stills_settings.PRESETS))
"""


@pytest.mark.slow
def test_the_command_and_the_presets_of_a_wheel_work(installed: Path, tmp_path: Path) -> None:
    def run(*command: str | Path) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
        )
        return done.stdout

    assert "Usage: avfuse" in run(installed / "bin" / "avfuse", "--help")
    head_presets, stills_presets, names = run(sys.executable, "-c", READ_PRESETS).splitlines()
    assert head_presets == str(installed / "trainer" / "presets")
    assert stills_presets == str(installed / "trainer" / "stills" / "presets")
    assert names.split() == ["deep-fusion", "fast", "icmi19", "svm", "ferplus", "film"]

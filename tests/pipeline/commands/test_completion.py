"""Completion in a real bash, and the versions, both without what takes seconds to load."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pipeline.extract.versions import list_versions

ROOT = Path(__file__).parents[3]
GOLDEN_CACHE = ROOT / "tests" / "golden" / "layout-2" / "cache"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which avfuse is a program on the path, and torch can't be imported."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "torch.py").write_text("raise RuntimeError('torch was loaded')\n")
    script = folder / "avfuse"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m pipeline "$@"\n')
    script.chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
    }


COMPLETED = {
    ("ca",): ["cache"],
    ("cache", "ve"): ["verify"],
    ("train", "--log"): ["--log-json"],
    ("extract", "--engine", ""): ["local", "dask", "ray"],
    ("extract", "--sets", "faces,res"): ["faces,resnet18", "faces,resnet29"],
    ("train", "--preset", "fa"): ["fast"],
    ("cache", "pack", str(GOLDEN_CACHE), "log"): ["logmel"],
    ("cache", "pack", "/gone", ""): [],
}


@pytest.mark.slow
def test_bash_completes_commands_options_choices_and_sets(program: dict[str, str]) -> None:
    lines = ['eval "$(avfuse completion bash)"']
    for words in COMPLETED:
        given = " ".join(f"'{word}'" for word in ("avfuse", *words))
        lines += [
            f"COMP_WORDS=({given}); COMP_CWORD={len(words)}; COMPREPLY=()",
            "_avfuse_completion avfuse",
            'echo "${COMPREPLY[@]}"',
        ]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], capture_output=True, text=True, env=program, timeout=60
    )
    assert done.stderr == ""
    offered = [line.split() for line in done.stdout.splitlines()]
    assert dict(zip(COMPLETED, offered, strict=True)) == COMPLETED


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_one_that_its_shell_can_read(program: dict[str, str], shell: str) -> None:
    done = subprocess.run(
        ["avfuse", "completion", shell], capture_output=True, text=True, env=program, check=True
    )
    assert "_AVFUSE_COMPLETE" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


def test_the_versions_that_matter_are_printed_without_torch(program: dict[str, str]) -> None:
    done = subprocess.run(
        ["avfuse", "--version"], capture_output=True, text=True, env=program, check=True
    )
    first, *lines = done.stdout.splitlines()
    assert re.fullmatch(r"avfuse, version \d+\.\d+\.\d+", first)
    assert [line.split()[0] for line in lines] == [
        "Python", "torch", "dlib", "OpenCV", "PyAV", "h5py", "numpy",
    ]  # fmt: skip
    assert re.fullmatch(r"PyAV [\d.]+ \(FFmpeg [\w.-]+\)", lines[4])
    assert re.fullmatch(r"h5py [\d.]+ \(HDF5 [\d.]+\)", lines[5])
    assert lines[0] == f"Python {sys.version.split()[0]}"


def test_what_is_not_installed_is_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("pipeline.extract.versions.version", absent)
    monkeypatch.setitem(sys.modules, "h5py.version", None)
    lines = list_versions()
    assert [line for line in lines if line.startswith("dlib")] == ["dlib absent"]
    assert "h5py absent" in lines

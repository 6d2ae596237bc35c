"""Fixtures shared by all tests. Fixtures build; they never assert."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import os
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cache.entries import source
from pipeline.cli import KEEPING, prepare_process
from pipeline.commands import loading

# Freed memory that a process may keep, where the command line says 1 GiB: two processes of tests,
# and the workers of both, share a machine.
os.environ.update(dict.fromkeys(KEEPING, str(32 << 20)))
# As the command line does it, and before a test module loads torch; but threads sleep at once where
# they wait: the other process of tests wants the cores.
if prepare_process():
    os.environ["GOMP_SPINCOUNT"] = "0"
# Device of the tests marked gpu: AVFUSE_TEST_GPU=cpu proves the tests where there is no GPU.
GPU = os.environ.get("AVFUSE_TEST_GPU", "cuda")


def as_toml(value: Any) -> str:
    """Write a value in TOML, a table on one line."""
    if isinstance(value, Mapping):
        rows = (f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items())
        return f"{{{', '.join(rows)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def dump_toml(values: Mapping[str, Any]) -> str:
    """Write tables in TOML, as ``tomli_w.dumps`` does with more lines."""
    return "".join(f"{json.dumps(key)} = {as_toml(item)}\n" for key, item in values.items())


# Runs write their configs with tomli-w. The GPU machine has none, and can fetch nothing: there, and
# in this process alone, these lines stand in for it.
if importlib.util.find_spec("tomli_w") is None:
    sys.modules["tomli_w"] = types.ModuleType("tomli_w")
    sys.modules["tomli_w"].dumps = dump_toml  # type: ignore[attr-defined]  # a module made here


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let pyproject.toml name the limit of a test's time where nothing is installed to keep it."""
    if importlib.util.find_spec("pytest_timeout") is None:
        parser.addini("timeout", "Seconds that a test may take; pytest-timeout keeps the limit.")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that ask for the GPU or for a real extraction, before ``-m`` chooses."""
    fixtures = getattr(item, "fixturenames", ())
    if "extracted" in fixtures:
        item.add_marker("slow")
    if "gpu" in fixtures:
        item.add_marker("gpu")
        if reason := why_no_gpu():
            item.add_marker(pytest.mark.skip(reason=reason))


@functools.cache
def why_no_gpu() -> str:
    """Say why tests of the GPU are skipped; empty where they run."""
    import torch

    if GPU.startswith("cuda") and not torch.cuda.is_available():
        return "needs a GPU that CUDA can use (AVFUSE_TEST_GPU=cpu runs the test without)"
    return ""


@pytest.fixture(autouse=True)
def quiet_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that a test calls in its own process be slow without a word of it."""
    monkeypatch.setattr(loading, "LINE_SECONDS", 3600.0)


@pytest.fixture(scope="session")
def gpu() -> str:
    """The GPU's device name; a test that asks for it is marked gpu, and skipped without one."""
    return GPU


@pytest.fixture
def second_gpu(cuda: str) -> str:
    """The name of a second GPU."""
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    return "cuda:1"


@pytest.fixture
def cuda(gpu: str) -> str:
    """The same, of tests that only CUDA can answer: of its memory, or of a second GPU."""
    if not gpu.startswith("cuda"):
        pytest.skip(f"is of CUDA's own, and AVFUSE_TEST_GPU={gpu} stands in for it")
    return gpu


@pytest.fixture(scope="module", autouse=True)
def freed_memory_given_back() -> Iterator[None]:
    """Give back what the tests of a module have freed; glibc alone does so for one arena only.

    The networks that a process keeps for its next clip are among it.
    """
    yield
    loaded = sys.modules.get("pipeline.extract.networks")
    if loaded is not None:
        loaded._load.cache_clear()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; other libraries have none
    if trim is not None:
        trim(0)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files that were written just now count as written seconds ago."""
    monkeypatch.setattr("cache.entries.source.CLOCK_NS", 0)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real clips, sound and scores that AVFUSE_TEST_DATA names."""
    folder = os.environ.get("AVFUSE_TEST_DATA")
    if not folder:
        pytest.skip("AVFUSE_TEST_DATA does not name the folder of real clips")
    path = Path(folder).resolve()
    if not (path / "clips").is_dir():
        pytest.fail(f"AVFUSE_TEST_DATA={folder} has no folder clips")
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a small generated corpus: 3 classes x 3 speakers, speaker s3 held out."""
    pytest.importorskip(
        "skimage", reason="the generated corpus needs the photograph of scikit-image"
    )
    from pipeline.commands.demo_corpus import DemoSettings, make_demo_corpus

    return make_demo_corpus(tmp_path_factory.mktemp("corpus"), DemoSettings(speakers=3, takes=1))


# Small enough for tests: one view of 64 pixels, and one network with random weights.
SMALL = ("--weights", "resnet18=random", "--set", "network.image_size=64")


@pytest.fixture(scope="session")
def extracted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the generated corpus, made by the command line with two real workers."""
    from click.testing import CliRunner

    from pipeline.cli import main

    cache = tmp_path_factory.mktemp("cache")
    sets = "resnet18,spectrogram,logmel"
    command = ["extract", str(corpus), "--cache", str(cache), "--sets", sets, *SMALL]
    result = CliRunner().invoke(main, [*command, "--views", "basic", "--jobs", "2"])
    if result.exit_code != 0:
        pytest.fail(result.output)
    return cache


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were hashed, one after the other."""
    found: list[Path] = []
    real = source.digest_file

    def digest_file(path: Path) -> str:
        found.append(path)
        return real(path)

    monkeypatch.setattr(source, "digest_file", digest_file)
    return found

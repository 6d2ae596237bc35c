"""Fixtures of the tests of stage one. Fixtures build; they never assert."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest, write_manifest
from extractors.running.settings import NetworkSettings
from pipeline.extract import networks, plan
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import WeightsChoice
from tests.pipeline.default_weights import ship_small_default
from tests.pipeline.known_faces import write_clip
from tests.pipeline.sheets import STEADY
from tests.pipeline.videos import grey_frame, write_video

KEPT_NETWORKS = 4  # of 45 MB each, and as much again in the processor's order


@pytest.fixture
def small(corpus: Path, tmp_path: Path) -> Path:
    """Copies of two generated clips with a manifest of their own."""
    clips = []
    for clip in read_manifest(corpus).clips[:2]:
        path = tmp_path / "clips" / f"{clip.id}.mp4"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(clip.path, path)
        clips.append(Clip(clip.id, path, label=clip.label))
    write_manifest(tmp_path / "m.csv", clips)
    return tmp_path / "m.csv"


@pytest.fixture
def enterable() -> Iterator[Path]:
    """A folder that any user may enter."""
    folder = Path("/tmp") / f"avfuse-test-{os.getpid()}"  # noqa: S108  # pytest's own is closed to others
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def steady(tmp_path: Path) -> Clip:
    """A clip with a large face in every frame, and its entry."""
    return write_clip(tmp_path / "cache", tmp_path / "steady.mp4", STEADY, label="happy")


@pytest.fixture(scope="module")
def networks_built_once() -> Iterator[None]:
    """Examine and load a network anew only where its own settings differ, not for every plan."""
    found: dict[Any, Any] = {}

    def once(
        real: Callable[..., Any], key: Any, file: Path | None, *given: Any, **named: Any
    ) -> Any:
        key = (real, key, file.read_bytes() if file else b"")
        if key not in found:
            found[key] = real(*given, **named)
            for oldest in list(found)[:-KEPT_NETWORKS]:
                del found[oldest]
        return found[key]

    examine, load = plan.examine_face_network, networks._load

    def examine_once(name: str, file: Path | None, settings: NetworkSettings, *, seed: int) -> Any:
        key = (name, file, settings, seed)
        return once(examine, key, file, name, file, settings, seed=seed)

    def load_once(
        name: str, choice: WeightsChoice, settings: StageOneSettings, *options: Any
    ) -> Any:
        key = (name, choice, settings.network, options)
        return once(load, key, choice.file, name, choice, settings, *options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "examine_face_network", examine_once)
        patch.setattr(networks, "_load", load_once)
        yield


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a small network, in the place of the shipped one."""
    return ship_small_default(monkeypatch, tmp_path / "default.safetensors")


@pytest.fixture
def clip(corpus: Path) -> Path:
    """The video of one generated clip."""
    return read_manifest(corpus).clips[0].path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of 23 frames, each of which carries its number."""
    return write_video(tmp_path / "a.mp4", [grey_frame(i) for i in range(23)])

"""A folder with all that the examples of docstrings name. Fixtures build; they never assert."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import extract_features
from trainer import train

HEAD = {
    "video.hidden_dim": 8,
    "audio.hidden_dim": 8,
    "fusion.out_dim": 11,
    "fusion.rank": 2,
    "optim.epochs": 3,
}

POOLINGS = """
[base]
preset = "fast"
[[axes]]
name = "pooling"
setting = "video.attention"
values = ["mean", "self"]
"""


@pytest.fixture(scope="session")
def workplace(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``clips``, ``manifest.csv``, ``CACHE``, ``runs``, ``stills``, ``holiday.mp4`` and more."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(corpus.parent, folder / "clips", ignore=shutil.ignore_patterns("*.csv"))
    table = corpus.read_text(encoding="utf-8")
    for label in ("happy", "sad", "surprise"):
        table = table.replace(f",{label}/", f",clips/{label}/")
    manifest, cache = folder / "manifest.csv", folder / "CACHE"
    manifest.write_text(table, encoding="utf-8")
    shutil.copy(next((folder / "clips" / "happy").glob("*.mp4")), folder / "holiday.mp4")
    extract_features(
        manifest, cache=cache, sets=["identity", "resnet29", "logmel"], views="basic", jobs=2
    )
    for name, kind in (("first", "transformer"), ("self", "self")):
        settings = {**HEAD, "video.attention": kind}
        train(manifest, cache=cache, run=folder / "runs" / name, settings=settings)
    for name in ("mean", "audio", "video"):
        shutil.copytree(folder / "runs" / "first", folder / "runs" / name)
    (folder / "poolings.toml").write_text(POOLINGS, encoding="utf-8")
    steps = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    clips = [line.partition(",")[0] for line in table.splitlines()[1:]]
    np.savez(folder / "smiles.npz", **dict.fromkeys(clips, steps))
    for number, label in enumerate(("happy", "sad") * 8):
        image = folder / "stills" / label / f"{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (15 * number, 99, 0)).save(image)
    return folder


@pytest.fixture
def at_work(workplace: Path) -> Iterator[Path]:
    """The same as the working folder."""
    before = Path.cwd()
    os.chdir(workplace)
    yield workplace
    os.chdir(before)
